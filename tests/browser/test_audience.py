"""The audience's side in the pages: an announcement, a poll, the question queue, reactions."""

import pytest
from playwright.async_api import expect

SHOW, POT = "kitchen", "pot-blue"
PHONE = (360, 740)


@pytest.fixture
async def watch(site, open_page):
    await site.pin(POT)
    page = await open_page(f"{site.base_url}/watch/{SHOW}", PHONE)
    await expect(page.get_by_test_id("viewers")).to_have_text("1")
    return page


@pytest.fixture
async def studio(site, open_page):
    page = await open_page(f"{site.base_url}/studio/{SHOW}#token={site.host}")
    await expect(page.get_by_test_id("connection")).to_have_attribute("data-status", "open")
    return page


async def test_the_operator_asks_announces_and_answers_from_the_console(site, open_page, watch):
    console = await open_page(f"{site.base_url}/console/{SHOW}#token={site.operator}")
    await console.get_by_test_id("announce-text").fill("Ten minutes left")
    await console.get_by_test_id("announce").click()
    await expect(watch.get_by_test_id("announcement")).to_have_text("Ten minutes left")
    await console.get_by_test_id("poll-new").click()
    await console.get_by_test_id("poll-question").fill("Another round?")
    for index, text in enumerate(("Yes", "No")):
        await console.get_by_test_id(f"poll-option-input-{index}").fill(text)
    await console.get_by_test_id("poll-open").click()
    await watch.get_by_test_id("poll-option-0").click()
    await expect(console.get_by_test_id("poll-result")).to_contain_text("Another round?")
    await site.ask("POST", f"/api/v1/shows/{SHOW}/questions", {"text": "Which size?"}, await site.guest())
    await console.get_by_label("Answered: Which size?").click()
    await expect(console.get_by_test_id("queue")).to_have_count(0)
    numbers = console.get_by_test_id("board").locator(".number")
    assert await numbers.all_text_contents() == ["1", "2"]  # what the chat may call them


async def test_the_host_asks_and_announces_and_the_viewer_votes_asks_and_reacts(watch, studio):
    await studio.get_by_test_id("announce-text").fill("Free shipping until nine")
    await studio.get_by_test_id("announce").click()
    await expect(watch.get_by_test_id("announcement")).to_have_text("Free shipping until nine")

    await studio.get_by_test_id("poll-new").click()
    await studio.get_by_test_id("poll-question").fill("Which colour next?")
    for index, text in enumerate(("Red", "Blue")):
        await studio.get_by_test_id(f"poll-option-input-{index}").fill(text)
    await studio.get_by_test_id("poll-hide").fill("2")
    await studio.get_by_test_id("poll-open").click()
    await watch.get_by_test_id("poll-option-1").click()
    await expect(watch.get_by_test_id("poll-option-1")).to_have_attribute("aria-pressed", "true")
    await expect(watch.get_by_test_id("poll-note")).to_contain_text("1 vote, results from 2")
    await studio.get_by_test_id("poll-peek").click()
    await expect(studio.get_by_test_id("poll-count-1")).to_have_text("1")

    await watch.get_by_test_id("questions").click()
    await watch.get_by_test_id("question-input").fill("Is it dishwasher safe?")
    await watch.get_by_test_id("question-send").click()
    await expect(watch.get_by_test_id("question-list").locator("li")).to_contain_text("dishwasher")
    await watch.get_by_test_id("question-list").locator("button").click()
    await expect(studio.get_by_test_id("queue").locator(".votes")).to_have_text("1")
    await watch.keyboard.press("Escape")
    await studio.get_by_label("Answered: Is it dishwasher safe?").click()
    await expect(studio.get_by_test_id("queue")).to_have_count(0)

    await watch.get_by_test_id("react-heart").click()
    await expect(watch.get_by_test_id("rising").locator(".rise")).to_have_count(1)
    await expect(watch.get_by_test_id("react-heart")).to_have_attribute("data-count", "1")

    await studio.get_by_test_id("poll-end").click()
    await expect(watch.get_by_test_id("poll-note")).to_have_text("Closed, 1 vote")
    await expect(watch.get_by_test_id("poll-option-0")).to_be_disabled()
    await watch.reload()
    await expect(watch.get_by_test_id("announcement")).to_have_text("Free shipping until nine")
    await expect(watch.get_by_test_id("poll-option-1")).to_have_attribute("aria-pressed", "true")
    await studio.get_by_test_id("announce-end").click()
    await expect(watch.get_by_test_id("announcement")).to_have_text("")
    assert watch.problems == studio.problems == []


async def test_nothing_rises_where_motion_is_not_wanted(site, open_page):
    page = await open_page(f"{site.base_url}/watch/{SHOW}", reduced_motion="reduce")
    await expect(page.get_by_test_id("viewers")).to_have_text("1")
    await page.get_by_test_id("react-fire").click()
    await expect(page.get_by_test_id("react-fire")).to_have_attribute("data-count", "1")
    await expect(page.get_by_test_id("rising").locator(".rise")).to_have_count(0)
