"""CPU per delivered packet, latency and time to the first picture, of ours and of peers, in one run.

    python benchmarks/relay                                        # ours and the limit at 50 viewers, a minute
    python benchmarks/relay --viewers 200 --whep NAME=WHEP,WHIP,PID --janus NAME=HTTP,AUDIO,VIDEO,PID
    python benchmarks/relay --loss 2 --delay 25 --seed 7           # behind the project's impairment relay
    python benchmarks/relay --capacity native --viewers 500 600 700

Ours run as they would, with the pure egress and, where it is built, the native. A peer is any server on this machine:
the addresses of its WHEP and WHIP, or of Janus's HTTP interface and the two ports of its mountpoint 1, and its process.
A host per window (2 Mb/s, packets 2 ms apart, 50 sound packets a second, a keyframe every 4 s, deaf to PLI) and N
viewers over real ICE, DTLS and SRTP, with NACK, RTX, RR and REMB. The server has a core, load and host the other.

`us` is the server's user and system time over the packets that came. `lost` is what never came, by sequence number;
`load lost` counts datagrams that found a full socket, on the whole machine: the load's own loss. `latency` is from the
host's stamp to the kernel's, at a viewer's socket. `first` is from the POST until all packets of a keyframe are there.
`frozen` is the share of the window for which the picture stood still where stamps are read: more than 150 ms over the
mean between two pictures, as W3C's statistics count. It is that of a player without a buffer: a picture is shown when
all of it has come, and all since the last keyframe. All are medians and ranges of the windows. The limit is limit.c:
the same rate to as many sockets, encrypted and sent by GSO in C, with nothing else.

`--loss` (percent) and `--delay` (ms) are of each direction between server and viewers, from a seed, the same for all
servers; nobody joins through loss. `us` then counts what was resent among the packets that came, `resent` is its share
of them, and `lost` what had not come two seconds after the window either. The delay is in `latency`. The impairment
relay is Python on the load's core: up to some hundred viewers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parent.parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent))

from media.native.loader import load
from relay import Figures, limit, pin
from relay.host import publish, publish_plain
from relay.network import Way
from relay.report import CAPACITY_HEAD, Windows, print_capacity, report
from relay.server import serve
from relay.window import Server, watch

HERE = Path(__file__).parent
FOREIGN, TRIES = 0.08, 2
"""A window in which others took more of a core is repeated; the second one counts, whatever it is."""


def _us(role: str, *more: str) -> list[str]:
    return [sys.executable, str(HERE), "--role", role, *more]


def one_window(server: Server, viewers: int, given: argparse.Namespace) -> Figures:
    """A host, the viewers, a window; on the core that is not the server's."""
    pin(server.pid, server=True)
    plain = ["--plain", *map(str, server.ports)] if server.janus else []
    host = subprocess.Popen(_us("publish", "--url", server.whip, *plain), stdout=subprocess.PIPE)
    try:
        if not host.stdout.readline():
            raise ConnectionError(f"{server.name} does not take the host")
        arguments = ["--server", json.dumps(server), "--viewers", str(viewers), "--window", str(given.window)]
        way = ["--loss", str(given.loss), "--delay", str(given.delay), "--seed", str(given.seed)]
        return _run("watch", *arguments, *way, "--host", str(host.pid))
    finally:
        host.kill()
        host.wait()


def _run(role: str, *arguments: str) -> Figures:
    done = subprocess.run(_us(role, *arguments), stdout=subprocess.PIPE, check=True, timeout=180)
    return json.loads(done.stdout.splitlines()[-1])


@contextlib.contextmanager
def ours(names: Sequence[str]) -> Iterator[list[Server]]:
    """Our servers, one an egress."""
    children = []
    try:
        found = []
        for name in names:
            with socket.create_server(("127.0.0.1", 0)) as door:
                port = door.getsockname()[1]
            children.append(subprocess.Popen(_us("serve", "--port", str(port), "--egress", name)))
            _wait_for(port)
            base = f"http://127.0.0.1:{port}"
            found.append(Server(f"ours, {name}", children[-1].pid, f"{base}/whep/bench", f"{base}/whip/bench"))
        yield found
    finally:
        for child in children:
            child.terminate()
            child.wait()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def compare(given: argparse.Namespace, peers: list[Server]) -> None:
    names = given.ours or ["pure", *(["native"] if load().fanout else [])]
    library = limit.build() if not given.no_limit else None
    before = os.getloadavg()
    windows: Windows = {}
    with ours(names) as own:
        for _ in range(given.repeats):
            for viewers in given.viewers:
                for server in [*own, *peers]:
                    _measure(windows, server, viewers, given)
                if library:
                    row = windows.setdefault(("limit: C, GCM and GSO of 4", viewers), [])
                    row.append(_run("bare", "--library", str(library), "--viewers", str(viewers)))
    if library:
        shutil.rmtree(library.parent)
    report(windows, given, before)


def _measure(windows: Windows, server: Server, viewers: int, given: argparse.Namespace) -> None:
    row = windows.setdefault((server.name, viewers), [])
    try:
        for _ in range(TRIES):
            found = one_window(server, viewers, given)
            if found["foreign"] < FOREIGN:
                break
            print(f"{server.name}, {viewers}: again, others took {found['foreign']:.0%} of a core", file=sys.stderr)
        row.append(found)
    except (subprocess.SubprocessError, ConnectionError, ValueError) as error:
        print(f"{server.name}, {viewers} viewers: no figures ({error})", file=sys.stderr)
    else:
        print(f"{server.name}, {viewers}: " + _brief(row[-1]), file=sys.stderr)


def _brief(of: Figures) -> str:
    keys = (
        "us",
        "busy",
        "load",
        "rate",
        "share",
        "never",
        "dropped",
        "resent",
        "overflow",
        "frozen",
        "reads",
        "foreign",
        "p50",
        "p99",
        "most",
    )
    return ", ".join(f"{key} {of[key]:.4g}" for key in keys)


def capacity(given: argparse.Namespace) -> None:
    """Loss and latency at growing counts."""
    with ours([given.capacity]) as (server,):
        print(CAPACITY_HEAD + "\n" + "|---" * 10 + "|", flush=True)
        for viewers in given.viewers:
            windows: Windows = {}
            for _ in range(given.repeats):
                _measure(windows, server, viewers, given)
            row = windows[server.name, viewers]
            if row:
                print_capacity(viewers, row)


def _peers(given: argparse.Namespace) -> list[Server]:
    found = []
    for text in given.whep:
        name, _, rest = text.partition("=")
        whep, whip, pid = rest.split(",")
        found.append(Server(name, int(pid), whep, whip))
    for text in given.janus:
        name, _, rest = text.partition("=")
        http, audio, video, pid = rest.split(",")
        found.append(Server(name, int(pid), janus=http, ports=(int(audio), int(video))))
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--viewers", type=int, nargs="+", default=[50])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--window", type=float, default=3.0)
    parser.add_argument("--ours", nargs="*", metavar="EGRESS[@FLUSH_MS]", help="pure, native, native@10, ...")
    parser.add_argument("--whep", action="append", default=[], metavar="NAME=WHEP,WHIP,PID")
    parser.add_argument("--janus", action="append", default=[], metavar="NAME=HTTP,AUDIO,VIDEO,PID")
    parser.add_argument("--capacity", metavar="EGRESS[@FLUSH_MS]")
    parser.add_argument("--no-limit", action="store_true")
    parser.add_argument("--loss", type=float, default=0.0, help="%% lost each way between server and viewers")
    parser.add_argument("--delay", type=float, default=0.0, help="ms each way")
    parser.add_argument("--seed", type=int, default=7, help="of what is lost")
    for hidden in ("--role", "--url", "--server", "--library", "--egress"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    parser.add_argument("--host", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--plain", type=int, nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    given = _arguments()
    pin(0, server=given.role == "serve")
    if given.role == "serve":
        egress, _, flush_ms = given.egress.partition("@")
        uvloop.run(serve(given.port, native=egress == "native", flush_ms=int(flush_ms) if flush_ms else None))
    elif given.role == "publish" and given.plain:
        publish_plain("127.0.0.1", *given.plain)
    elif given.role == "publish":
        asyncio.run(publish(given.url))
    elif given.role == "watch":
        server, way = Server(*json.loads(given.server)), Way(given.loss, given.delay, given.seed)
        print(json.dumps(asyncio.run(watch(server, given.viewers[0], given.window, given.host, way))))
    elif given.role == "bare":
        limit.bare(given.library, _us("sink", "--viewers", str(given.viewers[0])), given.window)
    elif given.role == "sink":
        limit.sink(given.viewers[0])
    elif given.capacity:
        capacity(given)
    else:
        compare(given, _peers(given))


if __name__ == "__main__":
    main()
