"""The long campaign: `python tests/hostile --count 1000000 --seed 7`. Prints what it saw; exits with 1 on any fault."""

import argparse
import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from hostile.campaign import campaign


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=20261122)
    given = options.parse_args()
    result = asyncio.run(campaign(given.count, given.seed))
    total = sum(result.inputs.values())
    print(f"seed {result.seed}: {total:,} inputs in {result.seconds:.0f} s, {total / result.seconds:,.0f} a second")
    print(f"  by kind: {dict(result.inputs)}")
    print(f"  faults: {len(result.faults)} {result.faults[:5]}")
    print(f"  logged: {len(result.logged)} {result.logged[:5]}")
    print(f"  memory grew by {result.grown_bytes / (1 << 20):.1f} MB after the first quarter")
    print(f"  the show beside it delivered {result.shown} packets, none missing")
    return 1 if result.faults or result.logged or result.grown_bytes > 10 << 20 else 0


if __name__ == "__main__":
    sys.exit(main())
