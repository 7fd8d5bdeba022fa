"""Tokens: what is accepted, and everything that is not."""

import time

import jwt
import pytest

from live.auth import ALGORITHM, AUDIENCE, ISSUER, KNOWN_MAX, TOKEN_TYPE, Tokens, issue_token
from live.settings import Settings
from schema.errors import Unauthenticated
from schema.people import Principal, Role

SECRET = "a secret of the tests, long enough for every HS algorithm there is"
PRINCIPAL = Principal(account_id="acct_1", role=Role.HOST, name="Hana", show_id="demo")


def forged(header=None, secret=SECRET, algorithm=ALGORITHM, **claims):
    """A token like ours, but for what is given; None leaves a claim out."""
    now_s = int(time.time())
    ours = {"iss": ISSUER, "aud": AUDIENCE, "iat": now_s, "exp": now_s + 60, "sub": "a", "role": "host", "name": "n"}
    kept = {name: value for name, value in {**ours, **claims}.items() if value is not None}
    return jwt.encode(kept, secret, algorithm, headers={"typ": TOKEN_TYPE, **(header or {})})


def test_a_token_brings_its_bearer_back():
    tokens = Tokens(SECRET)
    assert tokens.verify(tokens.issue(PRINCIPAL)) == PRINCIPAL
    assert tokens.verify(forged()).role is Role.HOST


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        forged(secret="another secret of the tests, long enough for any HS algorithm, too"),
        forged(secret="", algorithm="none"),
        forged(algorithm="HS512"),
        forged(header={"typ": "JWT"}),
        forged(iss="elsewhere"),
        forged(aud="elsewhere"),
        forged(exp=None),
        forged(exp=1),
        forged(iat=None),
        forged(sub=None),
        forged(role=None),
        forged(role="admin"),
        forged(name=None),
        forged(name=7),
        forged(show=["demo"]),
    ],
)
def test_whatever_differs_is_refused(token):
    with pytest.raises(Unauthenticated) as refused:
        Tokens(SECRET).verify(token)
    assert refused.value.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_that_held_is_known_until_it_lapses(monkeypatch):
    def lapsed(*_, **__):
        raise jwt.ExpiredSignatureError

    tokens, now_s = Tokens(SECRET), int(time.time())
    holds, lapses = forged(exp=now_s + 60), forged(exp=now_s - 1)  # the leeway lets both pass once
    assert tokens.verify(holds) == tokens.verify(lapses)
    monkeypatch.setattr(jwt, "decode_complete", lapsed)
    assert tokens.verify(holds).account_id == "a"
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(lapses)
    with pytest.raises(Unauthenticated):
        tokens.verify(holds + "x")


def test_of_the_tokens_that_held_only_so_many_are_kept():
    tokens = Tokens(SECRET)
    for number in range(KNOWN_MAX + 10):
        tokens.verify(forged(name=str(number)))
    assert len(tokens._known) == KNOWN_MAX


def test_a_changed_letter_anywhere_is_refused():
    tokens = Tokens(SECRET)
    token = tokens.issue(PRINCIPAL)
    head, body, signature = token.split(".")
    other = tokens.issue(Principal(account_id="acct_1", role=Role.OPERATOR, name="Hana")).split(".")[1]
    for tampered in (f"{head}.{other}.{signature}", f"{head}.{body}.{signature[::-1]}"):
        with pytest.raises(Unauthenticated):
            tokens.verify(tampered)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens("short")


def test_the_command_line_issues_tokens_for_one_show_or_all():
    settings = Settings(token_secret=SECRET)
    one = Tokens(SECRET).verify(issue_token(settings, "demo", Role.HOST, "Hana", 1))
    assert (one.show_id, one.role, one.name) == ("demo", Role.HOST, "Hana")
    assert Tokens(SECRET).verify(issue_token(settings, None, Role.OPERATOR, "Op", 1)).show_id is None


async def test_a_token_that_does_not_hold_is_refused_also_where_none_is_needed(client):
    answer = await client.ask("GET", "/api/v1/shows", authorization="Bearer nonsense")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert (await client.ask("GET", "/api/v1/shows", authorization="Basic dXNlcjpwYXNz")).status_code == 401
    assert (await client.ask("GET", "/api/v1/shows")).status_code == 200


async def test_an_expired_token_says_so(client):
    answer = await client.ask("GET", "/api/v1/shows", authorization=f"Bearer {forged(exp=1)}")
    assert answer.json()["detail"] == "The token has expired"
