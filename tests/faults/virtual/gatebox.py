"""The gate's Redis as a few dicts: what the Lua scripts do, one by one.

A differential test (test_gatebox.py) runs the same calls on the real scripts. Memory that Redis lets lapse by time
(said, was) is kept: no seed lasts that long.
"""

import re
from collections.abc import Callable

import msgspec

unpack = msgspec.msgpack.decode
HELD = re.compile(rb"^(\d+):(.*)$", re.DOTALL)


class Gatebox:
    """Keys and hashes. Every method is one atomic script of that name. Values are bytes, as Redis has them."""

    def __init__(self, removed: frozenset[str] = frozenset()) -> None:
        self.keys: dict[str, dict[bytes, bytes]] = {}
        self.removed, self.run = removed, 1
        self._journal: list[tuple[float, int, Callable]] = []
        self.publish: Callable[[str], None] = lambda _key: None

    def write(self, now_s: float, act: Callable) -> object:
        """Do it, and append it to the journal."""
        self._journal.append((now_s, self.run, act))
        return act()

    def roll_back(self, to_s: float) -> None:
        """Started again as it was then: what was written later was never synced, or is younger than a backup."""
        run = self.run + 1
        self._journal = [entry for entry in self._journal if entry[0] <= to_s]
        self.keys, publish, self.publish = {}, self.publish, lambda _key: None
        for _, run_then, act in self._journal:
            self.run = run_then
            act()
        self.publish, self.run = publish, run

    def _hash(self, key: str) -> dict[bytes, bytes]:
        return self.keys.get(key, {})

    def hset(self, key: str, mapping: dict) -> None:
        self.keys.setdefault(key, {}).update({_bytes(name): _bytes(value) for name, value in mapping.items()})

    def _hdel(self, key: str, *names: bytes) -> int:
        kept = self._hash(key)
        gone = sum(kept.pop(name, None) is not None for name in names)
        if not kept:
            self.keys.pop(key, None)
        return gone

    def _add(self, key: str, name: bytes, units: int) -> None:
        self.hset(key, {name: int(self._hash(key).get(name, b"0")) + units})

    def _other_epoch(self, meta: str, epoch: object) -> bool:
        return "the epoch" not in self.removed and self._hash(meta).get(b"epoch") != _bytes(epoch)

    # -- the scripts ----------------------------------------------------------------------------------------------

    def reserve_many(self, keys: list[str], args: list) -> list:
        meta, holds, buyers, pending, said_now, said_before, was_now, was_before = keys
        epoch, now, variant, packed, _ = args
        gate = self._hash(meta)
        if self._other_epoch(meta, epoch):
            return [gate.get(b"epoch", b""), [], b""]
        available, waiting = int(gate.get(b"available", 0)), gate.get(b"waiting") == b"1"
        is_open, limit = gate.get(b"open") == b"1", int(gate.get(b"limit", 0))
        taps, codes, said = unpack(packed), [], {}
        known = {**self._hash(said_before), **self._hash(said_now)}
        ended = {**self._hash(was_before), **self._hash(was_now)}
        heard: dict[bytes, bytes] = {}
        fresh: dict[bytes, int] = {}
        before, counts = dict(self._hash(holds)), {}
        for at in range(0, len(taps), 3):
            hold, buyer, n = taps[at].encode(), taps[at + 1].encode(), abs(taps[at + 2])
            refused = taps[at + 2] < 0
            text = f"{variant}:{n}".encode()
            word, was = heard.get(hold) or known.get(hold), ended.get(hold)
            held = fresh.get(hold) or (int(HELD.match(before[hold])[1]) if hold in before else None)
            old_code, _, old_text = word.partition(b"|") if word else (None, None, None)
            has = counts.setdefault(buyer, int(self._hash(buyers).get(buyer, b"0")))
            if word and old_text != text:
                code = -4
            elif held:
                code = 2 if held == n else -4
            elif was == b"f":
                code = -5
            elif was:
                code = 2 if was == f"r:{n}".encode() else -4
            elif word and int(old_code) < 0:
                code = int(old_code)
            else:
                if not is_open:
                    code = -3
                elif has + n > limit and "limit in the gate" not in self.removed:
                    code = -2
                elif (refused or waiting or n > available) and "the gate counts" not in self.removed:
                    code = -1
                else:
                    code, available, fresh[hold] = 1, available - n, n
                    counts[buyer] = has + n
                    self.hset(holds, {hold: f"{n}:".encode() + buyer})
                    self.hset(buyers, {buyer: counts[buyer]})
                    self.hset(pending, {hold: now})
                heard[hold] = f"{code}|".encode() + text
                if code < 0:
                    said[hold] = heard[hold]
            codes.append(code)
        if fresh:
            self.hset(meta, {"available": available})
        if said:
            self.hset(said_now, said)
        gone = is_open and (waiting or available <= 0)
        said_of = 1 if set(codes) == {1} else codes
        return [gate.get(b"epoch", b""), said_of, gate.get(b"turn", b"0") if gone else b""]

    def sold_out(self, keys: list[str], args: list) -> list:
        meta, holds, buyers, was_now, was_before = keys
        gate, (most,) = self._hash(meta), args
        is_gone = int(gate.get(b"available", 0)) <= 0 or gate.get(b"waiting") == b"1"
        if b"epoch" not in gate or gate.get(b"open") != b"1" or not is_gone:
            return []
        if sum(len(self._hash(key)) for key in keys[1:]) > most:
            return []
        known = [hold for key in (holds, was_now, was_before) for hold in self._hash(key)]
        some = [buyer for buyer, units in self._hash(buyers).items() if int(units) > 0]
        return [gate[b"epoch"], gate[b"turn"], gate[b"limit"], known, some]

    def settle_many(self, keys: list[str], args: list) -> int:
        meta, holds, buyers, pending, said, was_now, was_before = keys
        epoch, variant, packed, *_ = args
        if self._other_epoch(meta, epoch):
            return 0
        taps, done, shift = unpack(packed), set(), 0
        known, since = dict(self._hash(holds)), dict(self._hash(pending))
        for at in range(0, len(taps), 4):
            hold, buyer, n, code = taps[at].encode(), taps[at + 1].encode(), taps[at + 2], taps[at + 3]
            self._hdel(pending, hold)
            if hold in done:
                continue
            done.add(hold)
            if code == 1:
                if hold not in known and hold not in self._hash(was_now) and hold not in self._hash(was_before):
                    self.hset(holds, {hold: f"{n}:".encode() + buyer})
                    self._add(buyers, buyer, n)
                    shift -= n
            elif hold in known and hold in since:
                self._hdel(holds, hold)
                self._add(buyers, buyer, -n)
                shift += n
                if code == 3:
                    self.hset(was_now, {hold: f"r:{n}"})
                elif code == -5:
                    self.hset(was_now, {hold: "f"})
                else:
                    self.hset(said, {hold: f"{code}|{variant}:{n}"})
        if shift:
            self._give(meta, shift)
        return 1

    def committed_many(self, keys: list[str], args: list) -> int:
        return self._hdel(keys[0], *(hold.encode() for hold in unpack(args[0])))

    def _give(self, meta: str, units: int) -> None:
        """To what is available; where there was nothing before, it is news."""
        gate = self._hash(meta)
        left = int(gate.get(b"available", 0))
        self._add(meta, b"available", units)
        if left <= 0 or gate.get(b"waiting") == b"1":
            self._turn(meta)

    def _turn(self, meta: str) -> None:
        self._add(meta, b"turn", 1)
        self.publish(meta)

    def release_many(self, keys: list[str], args: list) -> int:
        meta, holds, buyers, pending, was = keys
        epoch, packed, *_ = args
        if self._other_epoch(meta, epoch):
            return 0
        ended, back = unpack(packed), 0
        for at in range(0, len(ended), 3):
            hold, units, fenced = ended[at].encode(), ended[at + 1], ended[at + 2]
            if held := self._hash(holds).get(hold):
                n, buyer = int(HELD.match(held)[1]), HELD.match(held)[2]
                self._hdel(holds, hold)
                self._hdel(pending, hold)
                self._add(buyers, buyer, -n)
                back += n
            elif "a unit comes back to the gate once" in self.removed:
                back += units
            self.hset(was, {hold: "f" if fenced == 1 else f"r:{units}"})
        self._give(meta, back)
        return 1

    def adjust(self, keys: list[str], args: list) -> int:
        (meta,) = keys
        epoch, units, is_open, waiting, _ = args
        if self._other_epoch(meta, epoch):
            return 0
        if str(units) != "0":
            self._add(meta, b"available", int(units))
        if is_open != "":
            self.hset(meta, {"open": is_open})
        if waiting != "":
            self.hset(meta, {"waiting": waiting})
        self._turn(meta)
        return 1

    def look(self, keys: list[str], _args: list) -> list:
        meta, holds, pending = keys
        gate, out, total = self._hash(meta), [], 0
        is_of_this_run = gate.get(b"run") == _bytes(self.run) or "the run of the server" in self.removed
        for hold, since in self._hash(pending).items():
            held = self._hash(holds).get(hold)
            n = int(HELD.match(held)[1]) if held else 0
            total += n
            out += [hold, since, n]
        epoch = gate.get(b"epoch", b"") if is_of_this_run else b""
        return [epoch, int(gate.get(b"available", 0)), total, out, int(gate.get(b"waiting", 0))]

    def holds(self, keys: list[str], args: list) -> list:
        meta, holds, pending = keys
        if len(self._hash(holds)) > args[0] or "holds are compared one by one" in self.removed:
            return []
        flat = [value for pair in self._hash(holds).items() for value in pair]
        return [self._hash(meta).get(b"epoch", b""), flat, list(self._hash(pending))]

    def confirm_many(self, keys: list[str], args: list) -> int:
        waiting, pending = unpack(args[0]), self._hash(keys[0])
        marks = {h: str(ms) for h, ms in zip(waiting[::2], waiting[1::2], strict=True) if h.encode() in pending}
        if marks:
            self.hset(keys[0], marks)
        return len(marks)

    def rebuild(self, keys: list[str], args: list) -> int:
        meta, holds, buyers, pending, new_holds, new_buyers = keys
        epoch, available, is_open, waiting, limit, _ = args
        available = int(available)
        if self._hash(meta).get(b"epoch") == _bytes(epoch) and "a rebuild is once" not in self.removed:
            return int(self._hash(meta)[b"available"])
        for hold in list(self._hash(pending)):
            held = self._hash(holds).get(hold)
            if held is None or hold in self._hash(new_holds):
                self._hdel(pending, hold)
                continue
            n, buyer = int(HELD.match(held)[1]), HELD.match(held)[2]
            self.hset(new_holds, {hold: held})
            self._add(new_buyers, buyer, n)
            available -= n
        for key, new in ((holds, new_holds), (buyers, new_buyers)):
            self.keys.pop(key, None)
            if new in self.keys:
                self.keys[key] = self.keys.pop(new)
        self.keys.pop(meta, None)
        gate = {"epoch": epoch, "available": available, "open": is_open, "waiting": waiting, "limit": limit}
        self.hset(meta, gate | {"turn": 0, "run": self.run})
        self.publish(meta)
        return available


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
