"""A chat in order, in the pages: answers, the message on top, and what a moderator does with a message."""

import pytest
from playwright.async_api import expect

SHOW = "kitchen"


@pytest.fixture
async def watch(site, open_page):
    page = await open_page(f"{site.base_url}/watch/{SHOW}")
    await expect(page.get_by_test_id("viewers")).to_have_text("1")
    return page


@pytest.fixture
async def studio(site, open_page):
    page = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def say(page, text):
    await page.get_by_test_id("chat-input").fill(text)
    await page.keyboard.press("Enter")


async def of_text(page, text) -> str:
    """The id of a message on the page."""
    row = page.get_by_test_id("chat-list").locator("li", has_text=text)
    await expect(row).to_be_visible()
    return await row.get_attribute("data-message")


async def choose(page, message, act):
    await page.get_by_test_id(f"chat-more-{message}").click()
    await page.get_by_test_id(f"choose-{act}").click()


async def test_the_host_answers_a_message_and_puts_it_on_top(watch, studio):
    await say(watch, "is it dishwasher safe?")
    message = await of_text(studio, "dishwasher")
    await studio.get_by_test_id(f"chat-reply-{message}").click()
    await say(studio, "yes, all of it")
    answer = watch.get_by_test_id("chat-list").locator("li", has_text="yes, all of it")
    await expect(answer.locator(".answered")).to_contain_text("is it dishwasher safe?")
    await choose(studio, message, "pin")
    await expect(watch.get_by_test_id("chat-on-top")).to_contain_text("is it dishwasher safe?")
    await expect(watch.get_by_test_id("chat-unpin")).to_have_count(0)
    await watch.reload()
    await expect(watch.get_by_test_id("chat-on-top")).to_contain_text("is it dishwasher safe?")
    await studio.get_by_test_id("chat-unpin").click()
    await expect(watch.get_by_test_id("chat-on-top")).to_have_count(0)
    assert watch.problems == studio.problems == []


async def test_who_is_muted_reads_why_and_may_speak_when_it_is_lifted(site, watch, open_page):
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await say(watch, "first!")
    await choose(console, await of_text(console, "first!"), "mute")
    row = console.get_by_test_id("sanctions").locator("li")
    await expect(row).to_contain_text("Muted")
    await say(watch, "second!")
    await expect(watch.get_by_test_id("chat-notice")).to_contain_text("muted you")
    await expect(watch.get_by_test_id("chat-input")).to_have_value("second!")  # nothing typed is lost
    await row.get_by_role("button").click()
    await expect(console.get_by_test_id("sanctions")).to_have_count(0)
    await expect(watch.get_by_test_id("chat-send")).to_be_disabled()  # until the time that was told; the page reloads
    await watch.reload()
    await say(watch, "third!")
    await of_text(console, "third!")


async def test_a_shadow_banned_viewer_sees_what_nobody_else_does(watch, studio):
    await say(watch, "first!")
    await choose(studio, await of_text(studio, "first!"), "shadow")
    await expect(studio.get_by_test_id("toasts")).to_contain_text("Shadow ban")
    await say(watch, "only I read this")
    await of_text(watch, "only I read this")
    await say(studio, "hello all")
    await of_text(watch, "hello all")
    await expect(studio.get_by_test_id("chat-list")).not_to_contain_text("only I read this")


async def test_who_is_banned_is_told_and_what_they_said_is_gone(watch, studio):
    await say(watch, "cheap pills")
    await choose(studio, await of_text(studio, "cheap pills"), "ban")
    await expect(watch.get_by_test_id("connection")).to_have_text("A moderator sent you out of this show.")
    await expect(studio.get_by_test_id("chat-list")).not_to_contain_text("cheap pills")


async def test_words_are_decided_in_the_console_and_refused_in_words(site, watch, open_page):
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await console.get_by_text("What may be said").click()
    await console.get_by_test_id("blocked-words").fill("rolexx\nfree money")
    await console.get_by_test_id("rules-save").click()
    await expect(console.get_by_test_id("toasts")).to_contain_text("Saved")
    for text, why in (("R0LEXX here", "words may not be said"), ("see www.example.com", "Links may not be posted")):
        await say(watch, text)
        await expect(watch.get_by_test_id("chat-notice")).to_contain_text(why)
    await expect(console.get_by_test_id("chat-list").locator("li")).to_have_count(0)


async def test_the_host_lifts_a_sanction_without_the_console(site, watch, studio):
    await say(watch, "first!")
    await choose(studio, await of_text(studio, "first!"), "mute")
    row = studio.get_by_test_id("sanctions").locator("li")
    await expect(row).to_contain_text("Muted")
    await row.get_by_role("button").click()
    await expect(studio.get_by_test_id("sanctions")).to_have_count(0)
    async with studio.expect_response("**/chat-settings"):
        await studio.get_by_test_id("slow-mode").select_option("10000")
    assert (await site.show())["slow_mode_ms"] == 10000
    assert studio.problems == []


async def test_a_moderator_has_the_talk_and_not_the_money(site, watch, open_page):
    page = await open_page(f"{site.base_url}/console/{SHOW}#token={site.moderator}")
    await expect(page.get_by_test_id("moderator")).to_be_visible()
    await expect(page.get_by_test_id("orders")).to_have_count(0)
    async with page.expect_response("**/chat-settings"):
        await page.get_by_test_id("slow-mode").select_option("5000")
    await say(watch, "cheap pills")
    await choose(page, await of_text(page, "cheap pills"), "ban")
    await expect(page.get_by_test_id("sanctions").locator("li")).to_contain_text("Banned")
    assert (await site.show())["slow_mode_ms"] == 5000
    await page.get_by_text("What may be said").click()
    await expect(page.get_by_test_id("blocked-words")).to_be_disabled()  # the host decides
    assert page.problems == []
