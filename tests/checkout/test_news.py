"""Hearing of gates, and of having missed something, over a wire that is cut."""

import asyncio

from checkout.news import News, channel_of


async def test_it_hears_what_is_said_and_says_when_it_may_have_missed_something(shop, redis, redis_wire, wired_redis):
    heard, missed = [], []
    news = News(wired_redis, about=heard.append, missed=lambda: missed.append(1))
    async with asyncio.timeout(20):
        running = asyncio.create_task(news.run())
        await news.listens.wait()
        assert missed == [1]

        async def is_heard() -> bool:
            return heard == ["sf:{gala}:gate:pot"]

        await redis.publish(channel_of(redis), "sf:{gala}:gate:pot")
        await shop.eventually(is_heard)
        redis_wire.cut()

        async def is_lost() -> bool:
            return not news.listens.is_set()

        await shop.eventually(is_lost)
        redis_wire.mend()
        await news.listens.wait()
        assert missed == [1, 1]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_each_logical_database_has_a_channel_of_its_own(redis):
    number = redis.connection_pool.connection_kwargs["db"]
    assert number
    assert channel_of(redis) == f"sf:gate:news:{number}"
