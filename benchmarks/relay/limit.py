"""The limit: limit.c, compiled at run time where there is a compiler, against viewers that only read."""

import ctypes
import json
import select
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from media.native.loader import _libraries
from relay import Figures, pin

SOURCE = Path(__file__).with_name("limit.c")
SEGMENTS = 4
"""What a flush of 5 ms finds of packets 2 ms apart, sound included."""


def build() -> Path | None:
    """The shared object in a temporary directory that the caller removes; None without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    into = Path(tempfile.mkdtemp()) / "limit.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", into, SOURCE, "-ldl"], check=True)
    return into


def measure(library: Path, ports: list[int], segments: int, seconds: float) -> Figures:
    """Microseconds of this process a packet, user and system."""
    name = next(_libraries())[0]._name
    out, numbers = (ctypes.c_double * 3)(), (ctypes.c_int * len(ports))(*ports)
    run = ctypes.CDLL(str(library)).run
    run.argtypes = [ctypes.c_char_p, ctypes.c_double, *[ctypes.c_int] * 2, ctypes.c_void_p, ctypes.c_void_p]
    failed = run(name.encode(), seconds, segments, len(ports), numbers, out)
    if failed:
        raise OSError(f"limit.c gave up: {failed}")
    packets, user, system = out
    return {"us": (user + system) / packets, "user": user / packets, "sys": system / packets, "rate": packets / seconds}


def bare(library: str, sink_command: list[str], window: float) -> None:
    """Print the limit's figures; the readers are another process, on the load's core."""
    readers = subprocess.Popen(sink_command, stdout=subprocess.PIPE)
    try:
        ports = json.loads(readers.stdout.readline())
        pin(0, server=True)
        print(json.dumps(measure(Path(library), ports, SEGMENTS, window)))
    finally:
        readers.kill()
        readers.wait()


def sink(viewers: int) -> None:
    """Read and forget, as the viewers do."""
    poll, sockets = select.epoll(), {}
    for _ in range(viewers):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setsockopt(socket.SOL_SOCKET, 33, 2 << 20)  # SO_RCVBUFFORCE
        one.setsockopt(17, 104, 1)  # UDP_GRO
        one.bind(("127.0.0.1", 0))
        sockets[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
    print(json.dumps([one.getsockname()[1] for one in sockets.values()]), flush=True)
    buffer = bytearray(65536)
    while True:
        for fd, _ in poll.poll(0, viewers):
            sockets[fd].recv_into(buffer)
        time.sleep(0.004)
