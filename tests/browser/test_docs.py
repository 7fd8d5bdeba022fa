"""The page about the HTTP interface, on a phone too."""

import re

import pytest

from schema.errors import REGISTRY

SIZES = [(390, 800), (1280, 800)]


@pytest.mark.parametrize("size", SIZES, ids=["phone", "desktop"])
async def test_the_docs_fit_their_screen_with_everything_unfolded(site, open_page, size):
    page = await open_page(f"{site.base_url}/docs", size)
    await page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    wide = await page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    assert "`" not in await page.inner_text("body")
    icon = await page.get_attribute("link[rel=icon]", "href")
    assert (await page.request.get(site.base_url + icon)).status == 200
    assert page.problems == []


async def test_every_code_is_explained_where_a_problems_type_leads(site, open_page):
    page = await open_page(f"{site.base_url}/docs", SIZES[0])
    anchors = set(re.findall(r'id="problem-(\w+)"', await page.content()))
    assert anchors == {*REGISTRY, "http"}
    refused = await page.request.delete(f"{site.base_url}/api/v1/shows")
    assert refused.status == 405
    assert (await refused.json())["type"].removeprefix("/docs#problem-") in anchors
