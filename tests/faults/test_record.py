"""The record of a campaign: it goes on where it was, and says on which code it ran."""

from faults.record import Record, commit_here
from faults.virtual.campaign import Outcome


def test_a_campaign_goes_on_where_it_was_interrupted_and_its_table_names_the_commit(tmp_path):
    file = tmp_path / "r.jsonl"
    Record(file, Outcome).add(Outcome(seed=3, done=["redis cut"]))
    again = Record(file, Outcome)
    assert (again.has(3), again.has(4), again.has(3, "a defence")) == (True, False, False)
    assert again.outcomes[0].commit == commit_here()
    assert f"1 on commit {commit_here() or 'unknown'}" in again.table()
