"""The picture of a live show on the hub, out of a real browser's keyframes."""

import httpx2
import pytest
from playwright.async_api import expect

SHOW = "kitchen"
REFRESH_MS = 15_000
"""How often the hub asks which shows there are."""
SHADES = """async (picture) => {
    await picture.decode();
    const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight).getContext("2d");
    canvas.drawImage(picture, 0, 0);
    const pixels = canvas.getImageData(0, 0, picture.naturalWidth, picture.naturalHeight).data;
    return new Set(pixels).size;
}"""


async def shown(base_url):
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"{base_url}/api/v1/shows/{SHOW}/thumbnail")
    return answer.headers["content-type"] == "image/jpeg" and answer.content


@pytest.mark.parametrize("codec", ["H264", "VP8", "VP9", "AV1"])
async def test_the_hub_shows_what_the_camera_sees_until_the_show_pauses(site, open_page, until, codec):
    studio = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await studio.get_by_test_id("codec").select_option(codec)
    await studio.get_by_test_id("golive").click()
    await expect(studio.get_by_test_id("air")).to_have_attribute("data-status", "live")
    jpeg = await until(lambda: shown(site.base_url), "a picture is taken")
    assert len(jpeg) <= 30 << 10

    hub = await open_page("about:blank")
    await hub.clock.install()
    await hub.goto(site.base_url)
    picture = hub.get_by_test_id(f"picture-{SHOW}")
    assert await picture.evaluate("(picture) => picture.decode().then(() => picture.naturalWidth)") == 320
    assert await picture.evaluate(SHADES) > 100  # a camera's colours, not one grey
    await site.set_state("paused")

    async def is_gone():
        return not await shown(site.base_url)

    await until(is_gone, "the curtain is down")
    await hub.clock.fast_forward(REFRESH_MS)
    await expect(hub.get_by_test_id(f"picture-{SHOW}")).to_have_count(0)
    assert hub.problems == []
