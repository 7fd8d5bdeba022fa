"""What the campaigns are asked for on the command line."""

import pytest
from faults.__main__ import parsed
from faults.removed import REMOVED
from faults.virtual.removed import REMOVED as VIRTUALLY_REMOVED


@pytest.mark.parametrize(
    ("what", "only"),
    [("controls", "a typing error"), ("virtual-controls", "a typing error"), ("virtual", "a claim lapses")],
)
def test_a_control_that_there_is_not_is_refused(what, only, capsys):
    with pytest.raises(SystemExit) as refused:
        parsed([what, "--only", only])
    assert refused.value.code == 2
    assert repr(only) in capsys.readouterr().err


@pytest.mark.parametrize(("what", "known"), [("controls", REMOVED), ("virtual-controls", VIRTUALLY_REMOVED)])
def test_each_control_can_be_asked_for_by_itself(what, known):
    assert [parsed([what, "--only", name]).only for name in known] == list(known)
