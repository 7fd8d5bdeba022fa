"""The operator's switches for chat and video, as everybody's page shows them."""

from playwright.async_api import expect

SHOW = "kitchen"
FRAMES = "document.querySelector('[data-testid=video]').getVideoPlaybackQuality().totalVideoFrames"
PLAYS = (
    f"async () => {{ const before = {FRAMES}; await new Promise(requestAnimationFrame); return {FRAMES} > before; }}"
)


async def test_a_stopped_video_is_a_curtain_with_its_reason_and_comes_back_at_once(site, open_page, until):
    studio = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await studio.get_by_test_id("golive").click()
    viewer = await open_page(f"{site.base_url}/watch/{SHOW}")
    await viewer.wait_for_function(PLAYS)
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await console.get_by_test_id("video-switch").click()
    await console.get_by_test_id("confirm-words").fill("A wrong label on the pot")
    await console.get_by_test_id("confirm-yes").click()

    curtain = viewer.get_by_test_id("curtain")
    await expect(curtain).to_contain_text("The video is stopped")
    await expect(curtain).to_contain_text("A wrong label on the pot")
    await expect(studio.get_by_test_id("video-stopped")).to_contain_text("A wrong label on the pot")
    await expect(studio.get_by_test_id("stop")).to_be_visible()  # still connected
    late = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(late.get_by_test_id("curtain")).to_contain_text("A wrong label on the pot")
    frozen = await viewer.evaluate(FRAMES)

    async def is_refused():
        return any("409" in line for line in late.problems)

    await until(is_refused, "the join is refused")
    assert await late.evaluate("window.__showfloor.firstFrameMs") is None
    assert await viewer.evaluate(FRAMES) == frozen

    await console.get_by_test_id("video-switch").click()
    await expect(curtain).to_have_attribute("data-kind", "")
    await viewer.wait_for_function(PLAYS)
    await late.wait_for_function(PLAYS)
    assert await viewer.evaluate("window.__showfloor.joins") == 1  # in the session it had
    assert [*viewer.problems, *studio.problems, *console.problems] == []


async def test_a_paused_chat_says_so_where_one_writes(site, watch, open_page):
    field = watch.get_by_test_id("chat-input")
    await field.fill("half a word")
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await console.get_by_test_id("chat-switch").click()
    await console.get_by_test_id("confirm-yes").click()
    await expect(field).to_have_attribute("placeholder", "Chat is paused")
    await expect(field).not_to_be_editable()
    await expect(watch.get_by_test_id("chat-send")).to_be_disabled()
    await expect(console.get_by_test_id("chat-state")).to_have_attribute("data-open", "false")
    await console.get_by_test_id("chat-input").fill("We are back in a minute")
    await console.get_by_test_id("chat-send").click()
    await expect(watch.get_by_test_id("chat-list")).to_contain_text("We are back in a minute")
    await console.get_by_test_id("chat-switch").click()
    await expect(field).to_be_editable()
    await expect(field).to_have_value("half a word")
    await field.press("Enter")
    await expect(console.get_by_test_id("chat-list")).to_contain_text("half a word")
    assert [*watch.problems, *console.problems] == []
