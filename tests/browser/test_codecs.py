"""The video format: what the host is told before going live, what goes on air, and what a viewer without it reads."""

import re

import pytest
from playwright.async_api import expect

SHOW = "kitchen"
ONLY_VP8 = """
const add = RTCPeerConnection.prototype.addTransceiver;
RTCPeerConnection.prototype.addTransceiver = function (kind, options) {
    const made = add.call(this, kind, options);
    if (kind === "video") {
        const { codecs } = RTCRtpReceiver.getCapabilities("video");
        made.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/VP8"));
    }
    return made;
};
"""
CAPABLE = {"codecs": [{"mimeType": f"video/{name}"} for name in ("AV1", "rtx", "VP8", "H264", "rtx")]}


@pytest.fixture
async def studio(site, open_page):
    page = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def go_live(studio, codec):
    await studio.get_by_test_id("codec").select_option(codec)
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")


async def test_the_hint_says_who_may_miss_the_picture(studio):
    hint = studio.get_by_test_id("codec-hint")
    await expect(hint).to_contain_text("plays in every browser")
    for codec, level, words in (
        ("H264", "good", "H264, which plays"),
        ("VP9", "warn", "Safari"),
        ("AV1", "warn", "iPhones before the 15 Pro"),
    ):
        await studio.get_by_test_id("codec").select_option(codec)
        await expect(hint).to_have_attribute("data-level", level)
        await expect(hint).to_contain_text(words)
    await studio.reload()
    await expect(studio.get_by_test_id("codec")).to_have_value("AV1")
    assert studio.problems == []


@pytest.mark.parametrize(("codec", "sent"), [("", "VP8"), ("H264", "H264"), ("VP9", "VP9"), ("AV1", "AV1")])
async def test_what_was_chosen_goes_on_air_and_is_seen(site, studio, open_page, until, codec, sent):
    await go_live(studio, codec)
    await expect(studio.get_by_test_id("bitrate")).to_contain_text(sent)
    await expect(studio.get_by_test_id("codec")).to_be_disabled()
    viewer = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(viewer.get_by_test_id("curtain")).to_have_attribute("data-kind", "")
    video = viewer.get_by_test_id("video")
    await until(lambda: video.evaluate("video => video.getVideoPlaybackQuality().totalVideoFrames > 5"), "it moves")
    assert viewer.problems == []


async def test_a_viewer_whose_browser_lacks_the_format_is_told_which(site, studio, open_page):
    await go_live(studio, "VP9")
    viewer = await open_page("about:blank")
    await viewer.context.add_init_script(ONLY_VP8)
    await viewer.goto(f"{site.base_url}/watch/{SHOW}")
    await expect(viewer.get_by_test_id("curtain")).to_contain_text("sent in VP9, which this browser cannot play")


async def in_another_format(route):
    """The offer as a browser would make it whose only video is H265."""
    offer = re.sub(r"(VP8|VP9|AV1|H264)/90000", "H265/90000", route.request.post_data)
    await route.continue_(post_data=offer)


async def test_an_offer_whose_picture_nobody_could_see_is_refused_and_the_host_told_what_to_choose(site, studio):
    await studio.route("**/whip/**", in_another_format)
    async with studio.expect_response("**/whip/**") as answered:
        await studio.get_by_test_id("golive").click()
    refusal = await (await answered.value).json()
    assert refusal["status"] == 406
    assert refusal["detail"].endswith("the offer has H265")
    await expect(studio.get_by_test_id("toasts")).to_contain_text("Choose Automatic, H264 or VP8")
    assert (await site.show())["state"] == "live"  # as it was


async def test_the_browsers_list_decides_what_can_be_picked_and_what_automatic_is(studio, module):
    assert await module(studio, "codecs.js", "return it.sendable(argument)", CAPABLE) == ["H264", "VP8", "AV1"]
    assert await module(studio, "codecs.js", "return it.automatic(argument)", CAPABLE) == "VP8"
    assert await module(studio, "codecs.js", "return it.automatic({codecs: []})") is None
    order = "return it.preferring(argument[0], argument[1]).map(({mimeType}) => mimeType.slice(6)).join(' ')"
    assert await module(studio, "codecs.js", order, ["", CAPABLE]) == "VP8 H264 AV1 rtx rtx"
    assert await module(studio, "codecs.js", order, ["H264", CAPABLE]) == "H264 AV1 rtx VP8 rtx"
