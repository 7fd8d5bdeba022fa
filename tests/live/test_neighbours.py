"""Two hundred accounts behind one address, and a flood among them: nobody pays for their neighbour."""

import asyncio
from collections import Counter

import pytest

from schema.people import Role

SHOW = "/api/v1/shows/demo"
NEIGHBOURS = 200
FLOOD = 60


async def join(shop) -> dict[str, str]:
    answer = await shop.ask("POST", f"{SHOW}/guests")
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {answer.json()['viewer_token']}"}


async def say(shop, bearer: dict[str, str], text: str) -> int:
    return (await shop.http.post(f"{SHOW}/chat", json={"text": text}, headers=bearer)).status_code


async def test_two_hundred_behind_one_address_chat_while_the_one_that_floods_is_limited(shop):
    neighbours = await asyncio.gather(*(join(shop) for _ in range(NEIGHBOURS)))
    flooder = await join(shop)
    flood = [say(shop, flooder, f"buy followers {number}") for number in range(FLOOD)]
    said = [say(shop, one, "hello") for one in neighbours]
    flooded, heard = await asyncio.gather(asyncio.gather(*flood), asyncio.gather(*said))
    assert Counter(heard) == {202: NEIGHBOURS}
    assert flooded.count(429) >= FLOOD / 2  # of 60 at once five may pass, and one more each second that it takes


async def test_were_the_address_limited_instead_the_neighbours_would_pay_for_it(shop, monkeypatch):
    limiter = shop.services["limiter"]
    check = limiter.check
    bearers = await asyncio.gather(*(join(shop) for _ in range(20)))
    monkeypatch.setattr(limiter, "check", lambda rule, _subject: check(rule, "192.0.2.7"))
    heard = await asyncio.gather(*(say(shop, one, "hello") for one in bearers))
    assert 429 in heard


@pytest.fixture
def guess(shop):
    async def guessed() -> int:
        bearer = {"Authorization": "Bearer not.a.token"}
        return (await shop.http.post(f"{SHOW}/chat", json={"text": "x"}, headers=bearer)).status_code

    return guessed


async def test_who_guesses_tokens_is_slowed_down_and_who_has_one_is_not(shop, guess):
    answers = Counter(await asyncio.gather(*(guess() for _ in range(100))))
    assert set(answers) == {401, 429}
    assert answers[401] >= 60
    assert (await shop.ask("POST", f"{SHOW}/chat", {"text": "hello"}, Role.VIEWER)).status_code == 202
    assert (await join(shop))["Authorization"]
