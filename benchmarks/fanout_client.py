"""The load of fanout.py: many sockets in one process, read by epoll and counted, nothing else.

usage: fanout_client.py PORT PATH COUNT NEEDLE. Prints "ready" when all are open; then, for each line on stdin, how
often NEEDLE was received, over all sockets. `{n}` in PATH is the number of the viewer.
"""

import resource
import select
import socket
import sys

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
AT_ONCE = 50


def connect(port: int, path: str, number: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.sendall(UPGRADE % path.format(n=number).encode())
    return sock


def wait_open(sock: socket.socket) -> None:
    head = b""
    while b"\r\n\r\n" not in head:
        more = sock.recv(65536)
        if not more:
            raise SystemExit(f"refused: {head!r}")
        head += more
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise SystemExit(f"refused: {head!r}")
    sock.settimeout(0)


def main() -> None:
    port, path, count, needle = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4].encode()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    socks: dict[int, socket.socket] = {}
    for first in range(0, count, AT_ONCE):
        opening = [connect(port, path, number) for number in range(first, min(first + AT_ONCE, count))]
        for sock in opening:
            wait_open(sock)
            socks[sock.fileno()] = sock
    poll = select.epoll()
    for number in socks:
        poll.register(number, select.EPOLLIN)
    poll.register(0, select.EPOLLIN)
    print("ready", flush=True)
    received = 0
    while True:
        for number, _ in poll.poll():
            if number == 0:
                if not sys.stdin.readline():
                    return
                print(received, flush=True)
                continue
            try:
                # A needle cut in two by a read is rare, but would hang the window: it is looked for whole frames.
                data = socks[number].recv(262144)
            except BlockingIOError:
                continue
            if not data:
                raise SystemExit("a viewer was closed")
            received += data.count(needle)


if __name__ == "__main__":
    main()
