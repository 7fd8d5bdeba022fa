from schema.people import Role


async def test_a_newcomer_gets_a_snapshot_and_then_what_is_said(running, show, say):
    await say("before")
    client = await running.join(show)
    await client.until(lambda it: it.frames)
    first = client.frames[0]
    assert first["snapshot"] is True
    assert [one["text"] for one in first["ev"]] == ["before"]
    await say("after")
    await client.until(lambda it: len(it.events) == 2)
    assert client.texts() == ["before", "after"]
    assert client.offsets() == [1, 2]
