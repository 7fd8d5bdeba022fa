"""The gatebox against the real Lua: the same calls, the same answers, the same memory."""

import itertools
import random

import msgspec
import pytest
from faults.virtual.gatebox import Gatebox

from checkout.gate import SCRIPTS

pack = msgspec.msgpack.encode
_shows = itertools.count()
HOLDS, BUYERS = [f"h{n}" for n in range(12)], ["ann", "bob", "cat:1"]
STEPS = 40


def names(show: str) -> dict[str, list[str]]:
    """The keys of each script, as checkout/gate.py gives them."""
    base, said = f"sf:{{{show}}}:gate:pot", f"sf:{{{show}}}:said"
    sets = [base, f"{base}:holds", f"{base}:buyers", f"{base}:pending"]
    said, was = [f"{said}:2", f"{said}:1"], [f"{base}:was:2", f"{base}:was:1"]
    return {
        "reserve_many": [*sets, *said, *was],
        "settle_many": [*sets, said[0], *was],
        "release_many": [*sets, was[0]],
        "adjust": [base],
        "look": [base, f"{base}:holds", f"{base}:pending"],
        "holds": [base, f"{base}:holds", f"{base}:pending"],
        "rebuild": [*sets, f"{base}:holds:new", f"{base}:buyers:new"],
        "confirm_many": [f"{base}:pending"],
        "committed_many": [f"{base}:pending"],
        "sold_out": [base, f"{base}:holds", f"{base}:buyers", *was],
    }


def a_call(dice: random.Random, epoch: int) -> tuple[str, list]:
    """One script with its arguments, some of them about another epoch."""
    name = dice.choice(
        ["reserve_many"] * 4
        + ["settle_many"] * 3
        + ["release_many"] * 2
        + ["adjust", "look", "holds", "sold_out", "confirm_many", "committed_many"]
    )
    told = epoch if dice.random() < 0.9 else epoch + 7
    some = dice.sample(HOLDS, dice.randint(1, 4))
    match name:
        case "reserve_many":
            flat = [x for h in some for x in (h, dice.choice(BUYERS), dice.choice((1, 1, 2, -1)))]
            return name, [told, dice.randint(1, 99), "pot", pack(flat), 10**6]
        case "settle_many":
            flat = [
                x for h in some for x in (h, dice.choice(BUYERS), dice.choice((1, 2)), dice.choice((1, 1, 3, -1, -5)))
            ]
            return name, [told, "pot", pack(flat), 10**6, 10**6, "news"]
        case "release_many":
            return name, [
                told,
                pack([x for h in some for x in (h, dice.choice((1, 2)), dice.choice((0, 0, 1)))]),
                10**6,
                "news",
            ]
        case "adjust":
            flags = [dice.choice(("", "", "1", "0")), dice.choice(("", "", "0", "1"))]
            return name, [told, dice.choice((0, 3)), *flags, "news"]
        case "confirm_many":
            return name, [pack([x for h in some for x in (h, 1_790_000_060_000 + dice.randint(0, 9))])]
        case "committed_many":
            return name, [pack(some)]
        case "sold_out":
            return name, [dice.choice((2, 1000))]
        case "holds":
            return name, [dice.choice((2, 1000))]
    return name, []


def plain(answer):
    """An answer without its order where it has none, all numbers as text."""
    if isinstance(answer, list):
        return [plain(each) for each in answer]
    return answer.decode() if isinstance(answer, bytes) else str(answer)


@pytest.mark.parametrize("seed", range(5))
async def test_the_same_calls_have_the_same_answers_and_leave_the_same(redis, seed):
    dice, box, show = random.Random(seed), Gatebox(), f"s{next(_shows)}"
    scripts = {name: redis.register_script(text) for name, text in SCRIPTS.items()}
    keys, epoch = names(show), 0
    for step in range(STEPS):
        if step % 10 == 0:
            epoch += 1
            await rebuild_both(dice, redis, box, scripts, keys["rebuild"], epoch)
        name, args = a_call(dice, epoch)
        theirs, ours = await scripts[name](keys=keys[name], args=args), getattr(box, name)(keys[name], args)
        if name in {"look", "holds", "sold_out"} and theirs:
            theirs, ours = as_sets(name, plain(theirs)), as_sets(name, plain(ours))
        assert plain(theirs) == plain(ours), (seed, step, name)
        if step % 4 == 3:
            await same_memory(redis, box, (seed, step, name))


def as_sets(name: str, answer: list) -> list:
    if name == "look":
        flat = answer[3]
        return [*answer[:3], sorted(zip(flat[::3], flat[1::3], flat[2::3], strict=True)), answer[4]]
    if name == "holds":
        flat = answer[1]
        return [answer[0], sorted(zip(flat[::2], flat[1::2], strict=True)), sorted(answer[2])]
    return [sorted(each) if isinstance(each, list) else each for each in answer]


async def rebuild_both(dice, redis, box, scripts, keys, epoch) -> None:
    """From what a truth would say; said twice, as a wire may."""
    some = {hold: f"{dice.choice((1, 2))}:{dice.choice(BUYERS)}" for hold in dice.sample(HOLDS, 3)}
    buyers = dict.fromkeys(BUYERS[:2], 2)
    for key, mapping in ((keys[4], some), (keys[5], buyers)):
        await redis.hset(key, mapping=mapping)
        box.hset(key, mapping)
    args = [epoch, dice.randint(0, 9), 1, 0, 4, "news"]
    for _ in range(2):
        assert await scripts["rebuild"](keys=keys, args=args) == box.rebuild(keys, args)


async def same_memory(redis, box, where) -> None:
    found = {key.decode(): await redis.hgetall(key) for key in await redis.keys("sf:*")}
    mine = {key: dict(kept) for key, kept in box.keys.items() if kept}
    for kept in (found, mine):
        for key in kept:
            kept[key].pop(b"run", None)
            if key.endswith(":buyers"):
                kept[key] = {name: units for name, units in kept[key].items() if units != b"0"}
    assert found == mine, where


async def test_the_gate_of_another_run_has_no_epoch_in_either(redis):
    box, keys = Gatebox(), names(f"s{next(_shows)}")
    scripts = {name: redis.register_script(text) for name, text in SCRIPTS.items()}
    await rebuild_both(random.Random(1), redis, box, scripts, keys["rebuild"], 5)
    await redis.hset(keys["look"][0], "run", "before")
    box.run += 1
    assert (await scripts["look"](keys=keys["look"], args=[]))[0] == box.look(keys["look"], [])[0] == b""
