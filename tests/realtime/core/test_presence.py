from realtime.core.presence import Presence
from schema.ids import ShowId
from schema.people import Role

SHOW = ShowId("s")


def test_ten_tabs_are_ten_and_a_host_is_none():
    presence = Presence()
    for _ in range(10):
        presence.join(SHOW, Role.VIEWER)
    presence.join(SHOW, Role.HOST)
    presence.join(SHOW, Role.OPERATOR)
    assert presence.changes() == {SHOW: 10}
    assert presence.all() == {SHOW: 10}


def test_changes_are_told_once_and_an_empty_show_is_told_as_zero():
    presence = Presence()
    presence.join(SHOW, Role.VIEWER)
    assert presence.changes() == {SHOW: 1}
    assert presence.changes() == {}
    presence.leave(SHOW, Role.VIEWER)
    assert presence.changes() == {SHOW: 0}
    assert presence.all() == {}
