import pytest
from msgspec.structs import replace

from checkout.core.audit import Chain, Entry, entry_hash, plain
from checkout.core.chain import GENESIS


def log(length: int) -> list[Entry]:
    entries, prev = [], GENESIS
    for seq in range(1, length + 1):
        entry = Entry(
            seq=seq, act_id=f"act_{seq}", phase="done", show_id="gala", account_id="op", role="operator", name="Op",
            action="restockItem", object="shows/gala/items/pot/restock", before=None, after='{"quantity":3}',
            at_ms=1_000 + seq, prev_hash=prev, hash=b"",
        )  # fmt: skip
        entry = replace(entry, hash=entry_hash(prev, entry))
        entries.append(entry)
        prev = entry.hash
    return entries


def found(entries, last):
    chain = Chain()
    halves = len(entries) // 2
    problems = [*chain.problems(entries[:halves]), *chain.problems(entries[halves:])]
    return [*problems, *chain.ends(last.seq, last.hash)]


def test_a_whole_log_has_no_problem_whatever_its_length():
    for length in (1, 2, 7):
        entries = log(length)
        assert found(entries, entries[-1]) == []
    assert list(Chain().ends(0, GENESIS)) == []


@pytest.mark.parametrize("field", [f for f in Entry.__struct_fields__ if f not in {"seq", "prev_hash", "hash"}])
def test_a_change_of_any_field_is_found(field):
    entries = log(5)
    old = getattr(entries[2], field)
    entries[2] = replace(entries[2], **{field: old + 1 if isinstance(old, int) else "forged"})
    assert found(entries, entries[-1]) == ["audit entry 3 was changed after it was written"]


def test_a_change_that_also_mends_its_own_hash_is_found_at_the_next_entry():
    entries = log(5)
    forged = replace(entries[2], after="{}")
    entries[2] = replace(forged, hash=entry_hash(forged.prev_hash, forged))
    assert found(entries, entries[-1]) == ["audit entry 4 does not follow its predecessor"]


def test_an_entry_left_out_and_an_end_cut_off_are_found():
    entries = log(5)
    assert "audit entry 3 is missing: found 4" in found(entries[:2] + entries[3:], entries[-1])
    assert found(entries[:4], entries[-1]) == ["the audit log ends at 4, its head says 5"]


def test_no_text_can_blur_the_borders_of_a_field():
    assert plain("Op\x1foperator\0") == "Op operator"
