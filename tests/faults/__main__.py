"""The long campaigns: `python -m tests.faults real --seeds 40 --long --resume real.jsonl`, `virtual --seeds 10000`, and
the controls of both: `controls`, `virtual-controls`.

Exits with 1 if anything was found, or if a control was not caught. A seed prints its plan before it begins.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from faults.campaign import Outcome, run_seed
from faults.plan import LONG, SHORT, Pace, Plan, plan_of
from faults.record import Record
from faults.removed import REMOVED
from faults.stores import make_template
from faults.virtual.campaign import Outcome as VirtualOutcome
from faults.virtual.campaign import run_seed as run_virtual
from faults.virtual.removed import REMOVED as VIRTUALLY_REMOVED

CONTROL_SEEDS = 20


def parsed(arguments: list[str]) -> argparse.Namespace:
    """What is to be done. Ends the process where `--only` names no control: of none nothing would be missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["real", "controls", "virtual", "virtual-controls"])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--resume", type=Path, help="a file of finished seeds; it grows")
    parser.add_argument("--long", action="store_true", help="Postgres down for 60 s, each store frozen for 10 s")
    parser.add_argument("--only", default="", help="one control")
    parser.add_argument("--keep", type=Path, help="keep the folder of a seed that found something there")
    given = parser.parse_args(arguments)
    known = {"controls": REMOVED, "virtual-controls": VIRTUALLY_REMOVED}.get(given.what, {})
    if given.only and given.only not in known:
        parser.error(f"no control of `{given.what}` is called {given.only!r}; there are {sorted(known)}")
    return given


def main() -> int:
    given = parsed(sys.argv[1:])
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if given.what == "virtual":
        return virtual(given, Record(given.resume, VirtualOutcome))
    if given.what == "virtual-controls":
        return virtual_controls(given)
    record, pace = Record(given.resume, Outcome), LONG if given.long else SHORT
    with tempfile.TemporaryDirectory(prefix="sf-") as folder:
        run = {"real": real, "controls": controls}[given.what]
        return asyncio.run(run(given, record, pace, Path(folder)))


async def real(given: argparse.Namespace, record: Record, pace: Pace, folder: Path) -> int:
    template = await make_template(folder / "template")
    began = time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        if not record.has(seed):
            plan = plan_of(seed, pace)
            print(f"seed {seed}: {plan}", flush=True)
            record.add(await _one(plan, pace, folder, template, keep=given.keep))
    outcomes = [outcome for outcome in record.outcomes if not outcome.removed]
    print(record.table())
    print(
        f"{len(outcomes)} seeds, {time.monotonic() - began:.0f} s now, {sum(o.seconds for o in outcomes):.0f} s in all"
    )
    print(f"{sum(o.holds for o in outcomes)} holds told, {sum(o.orders for o in outcomes)} orders,", end=" ")
    print(f"{sum(o.confirming for o in outcomes)} told to wait")
    print(f"settled after at most {max(o.settled_s for o in outcomes)} s")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


async def _one(
    plan: Plan, pace: Pace, folder: Path, template: Path, *, keep: Path | None, removed: str = ""
) -> Outcome:
    place = folder / "w"
    try:
        outcome = await run_seed(plan, pace, place, template=template, removed=removed)
    except Exception as error:  # the others still have something to say
        outcome = Outcome(
            seed=plan.seed, plan=str(plan), removed=removed, findings={"broke": traceback.format_exception(error)}
        )
    print(f"  {'ok' if outcome.ok else outcome.findings}, {outcome.holds} holds, {outcome.orders} orders,", end=" ")
    print(f"settled in {outcome.settled_s} s, {outcome.seconds} s; not done: {outcome.not_done or 'none'}", flush=True)
    if keep and not outcome.ok:
        shutil.copytree(
            place, keep / f"seed-{plan.seed}", ignore=shutil.ignore_patterns("s", "run"), dirs_exist_ok=True
        )
    shutil.rmtree(place, ignore_errors=True)
    return outcome


async def controls(given: argparse.Namespace, record: Record, pace: Pace, folder: Path) -> int:
    """Each defence is taken away until it is missed."""
    template, missed = await make_template(folder / "template"), []
    for name, removed in REMOVED.items():
        if given.only not in {"", name}:
            continue
        for seed in range(given.first, given.first + CONTROL_SEEDS):
            plan = Plan(seed=seed, faults=removed.faults, workers=removed.workers, hold_seconds=300)
            print(f"without '{name}', seed {seed}: {plan}", flush=True)
            outcome = await _one(plan, pace, folder, template, keep=None, removed=name)
            record.add(outcome)
            if not outcome.ok and not outcome.broke:
                break
        else:
            missed.append(name)
    print(f"not caught: {missed or 'none'}")
    return 1 if missed else 0


def virtual(given: argparse.Namespace, record: Record) -> int:
    began = time.monotonic()
    for seed in range(given.first, given.first + given.seeds):
        if not record.has(seed):
            outcome = run_virtual(seed)
            record.add(outcome)
            if not outcome.ok:
                print(f"seed {seed}: {outcome.done}: {outcome.findings}", flush=True)
    outcomes = record.outcomes
    print(record.table())
    print(
        f"{len(outcomes)} seeds, {time.monotonic() - began:.0f} s now; {sum(o.holds for o in outcomes)} holds told,",
        end=" ",
    )
    print(f"{sum(o.orders for o in outcomes)} orders, {sum(o.confirming for o in outcomes)} told to wait;", end=" ")
    print(f"settled after at most {max(o.settled_s for o in outcomes)} s")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def virtual_controls(given: argparse.Namespace) -> int:
    missed = []
    for name in VIRTUALLY_REMOVED:
        if given.only in {"", name}:
            seeds = range(given.first, given.first + CONTROL_SEEDS)
            found = next((outcome for seed in seeds if not (outcome := run_virtual(seed, name)).ok), None)
            print(
                f"without '{name}': {f'seed {found.seed}, {list(found.findings)}' if found else 'not caught'}",
                flush=True,
            )
            missed += [] if found else [name]
    print(f"not caught: {missed or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
