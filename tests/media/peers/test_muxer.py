"""FFmpeg's WHIP muxer publishes: setup:passive, one STUN check, no AES-GCM."""


async def test_the_muxer_publishes_and_chromium_plays(floor, tabs, muxer, wait_until):
    await muxer("demo", "host-ann")
    await wait_until(lambda: floor.relay.shows and floor.show("demo").host_present, "the host is on air")
    viewer = await tabs()
    await viewer.play("demo", "viewer-bob")

    async def presented():
        return await viewer.frames() >= 40

    await wait_until(presented, "forty frames are presented")
    stats = await viewer.stats()
    assert (stats["video"]["frameWidth"], stats["video"]["frameHeight"]) == (320, 180)
    assert stats["video"]["packetsLost"] == 0
    assert stats["audio"]["totalAudioEnergy"] > 0
    assert floor.show("demo").video == "H264"


async def test_the_muxer_with_a_wrong_token_is_refused(floor, muxer):
    child = await muxer("demo", "stranger")
    assert await child.wait() != 0
    assert not floor.relay.shows
