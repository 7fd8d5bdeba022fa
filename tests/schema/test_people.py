import pytest

from schema.people import Role


@pytest.mark.parametrize(
    ("role", "needed", "covered"),
    [
        (Role.VIEWER, Role.VIEWER, True),
        (Role.VIEWER, Role.HOST, False),
        (Role.HOST, Role.VIEWER, True),
        (Role.HOST, Role.OPERATOR, False),
        (Role.OPERATOR, Role.HOST, True),
        (Role.OPERATOR, Role.OPERATOR, True),
        (Role.ADMIN, Role.OPERATOR, True),
        (Role.OPERATOR, Role.ADMIN, False),
        (Role.ANALYST, Role.ANALYST, True),
        (Role.ANALYST, Role.VIEWER, False),
        (Role.ANALYST, Role.OPERATOR, False),
        (Role.ADMIN, Role.ANALYST, False),
    ],
)
def test_a_higher_role_covers_the_lower_ones(role, needed, covered):
    assert role.covers(needed) is covered
