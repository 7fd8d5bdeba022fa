"""What the harness prints: medians and ranges of the windows, and the ratios of one run."""

import argparse
import os
import platform
import statistics
from collections.abc import Sequence

from media.native.loader import load
from relay import Figures
from relay.network import Way
from relay.window import share_of

Windows = dict[tuple[str, int], list[Figures]]
"""By name and number of viewers."""
_HEAD = (
    "| what | viewers | windows | us a packet | user | sys | core used | resent | lost | load lost | frozen "
    "| latency ms: p50 | p99 | first ms: p50 | p95 |"
)
CAPACITY_HEAD = (
    "| viewers | windows | worst loss | median | us a packet | core used | p50 ms | p99 ms | overflow | load |"
)


def spread(values: list[float], digits: int = 1) -> str:
    if not values:
        return ""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def report(windows: Windows, given: argparse.Namespace, before: Sequence[float]) -> None:
    print("\n## Relay: CPU per delivered packet\n")
    print(f"{platform.system()} {platform.release()}, {os.cpu_count()} cores, Python {platform.python_version()},")
    print(f"load before {before[0]:.2f}, after {os.getloadavg()[0]:.2f}; native: {load().reason};")
    if given.loss or given.delay:
        print(f"between server and viewers {Way(given.loss, given.delay, given.seed)};")
    print(f"{given.repeats} interleaved windows of {given.window:g} s: median (range); others took at most ", end="")
    print(f"{max((one.get('foreign', 0) for row in windows.values() for one in row), default=0):.0%} of a core\n")
    print(_HEAD + "\n" + "|---" * 15 + "|")
    for (name, viewers), row in windows.items():
        if row:
            print("| " + " | ".join([name, str(viewers), str(len(row)), *_cells(row)]) + " |")
    _ratios(windows)


def _cells(row: list[Figures]) -> list[str]:
    def of(key: str, digits: int = 1, *, times: float = 1) -> str:
        return spread([one[key] * times for one in row], digits)

    cells = [of("us", 2), of("user"), of("sys")]
    if "lost" not in row[0]:
        return cells + [""] * 9
    first = [[share_of(sorted(one["first_ms"]), share) for one in row] for share in (0.5, 0.95)]
    shares = [of(key, 3, times=100) + " %" for key in ("resent", "lost")]
    frozen = of("frozen", 2, times=100) + " %"
    busy = of("busy", 0, times=100) + " %"
    return [*cells, busy, *shares, of("overflow", 0), frozen, of("p50"), of("p99"), *(spread(ms, 0) for ms in first)]


def _ratios(windows: Windows) -> None:
    """Ours to each other row, of the same number of viewers."""
    medians = {of: statistics.median(one["us"] for one in row) for of, row in windows.items() if row}
    for (name, viewers), median in medians.items():
        if name.startswith("ours"):
            others = [of for of in medians if of[1] == viewers and not of[0].startswith("ours")]
            found = ", ".join(f"{median / medians[of]:.2f} of {of[0]}" for of in others)
            if found:
                print(f"\n{name}, {viewers} viewers: {found}")


def print_capacity(viewers: int, row: list[Figures]) -> None:
    lost = [one["lost"] for one in row]
    middles = [spread([one[key] for one in row], 2) for key in ("us", "busy", "p50", "p99")]
    more = f"{sum(one['overflow'] for one in row)} | {statistics.median(one['load'] for one in row):.0%}"
    cells = [str(viewers), str(len(row)), f"{max(lost):.4%}", f"{statistics.median(lost):.4%}", *middles, more]
    print("| " + " | ".join(cells) + " |", flush=True)
