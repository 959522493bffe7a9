"""The report as it is seen: by eyes, by keys, on a phone, in the dark and on paper; needs Chromium."""

import json

import pytest
from chromium import CHROMIUM, DRIVER, browser
from test_report import comparison_of, search_of

from skensemble.report import write_report

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs Chromium and ChromeDriver")

CONTRASTS = """
const parse = (text) => {
  const parts = text.match(/[\\d.]+/g).map(Number);
  return { rgb: parts.slice(0, 3), alpha: parts.length > 3 ? parts[3] : 1 };
};
const light = (rgb) => {
  const [r, g, b] = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.alpha === 1) { return colour.rgb; }
    if (colour.alpha > 0) { throw new Error("half transparent: " + at.outerHTML.slice(0, 80)); }
  }
  return [255, 255, 255];
};
document.querySelectorAll("details").forEach((details) => { details.open = true; });
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  if (!walker.currentNode.textContent.trim() || ["SCRIPT", "STYLE"].includes(element.tagName)) { continue; }
  const colour = parse(getComputedStyle(element).color);
  const pair = [light(colour.rgb), light(behind(element))].sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), walker.currentNode.textContent.trim().slice(0, 40), colour.alpha]);
}
for (const header of document.querySelectorAll("thead .title")) {
  const colour = parse(getComputedStyle(header, "::after").color);
  const pair = [light(colour.rgb), light(behind(header))].sort((a, b) => b - a);
  found.push([(pair[0] + 0.05) / (pair[1] + 0.05), "arrow", colour.alpha]);
}
return found;
"""
PICTURES = """
return Array.from(document.images, (image) => {
  const box = image.getBoundingClientRect();
  return [image.naturalWidth, box.width, box.height, box.right <= innerWidth, image.alt.length, image.currentSrc];
});
"""


@pytest.fixture(scope="module")
def tab():
    with browser() as found:
        yield found


@pytest.fixture(scope="module", params=[comparison_of, search_of])
def page(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    return write_report(request.param(), path, command="skensemble search data.csv --report report.html")


def test_no_console_error_and_no_request(tab, page):
    for kind in ("browser", "performance"):
        tab.log(kind)
    tab.look(1200)
    tab.open(page)
    assert [entry for entry in tab.log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
    messages = [json.loads(entry["message"])["message"] for entry in tab.log("performance")]
    asked = [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked
    assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 768, 1200])
def test_pictures_are_seen_and_nothing_scrolls_sideways(tab, page, width, mode):
    tab.look(width, mode)
    tab.open(page)
    tab.run("document.querySelectorAll('details').forEach((details) => { details.open = true; });")
    wide, seen = tab.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert seen == width
    assert wide <= width
    pictures = tab.run(PICTURES)
    assert pictures
    for natural, across, high, inside, described, _ in pictures:
        assert natural > 0
        assert across > min(250, 0.75 * width)
        assert high > 100
        assert inside
        assert described > 20


def test_dark_and_narrow_have_drawings_of_their_own(tab, page):
    shown = set()
    for width in (360, 1200):
        for mode in ("light", "dark"):
            tab.look(width, mode)
            tab.open(page)
            shown.add(tab.run(PICTURES)[0][-1])
    assert len(shown) == 4


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_text_has_a_contrast_of_at_least_four_and_a_half(tab, page, mode):
    tab.look(1200, mode)
    tab.open(page)
    found = tab.run(CONTRASTS)
    assert len(found) > 50
    background = tab.run("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (mode == "light")
    assert [each for each in found if each[0] < 4.5 or each[2] < 1] == []


def test_keys_reach_everything_and_sort(tab, page):
    tab.look(1200)
    tab.open(page)
    tab.press("Tab")
    assert tab.run("return document.activeElement.className") == "skip"
    left = tab.run("return document.activeElement.getBoundingClientRect().left")
    outline = tab.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert left >= 0
    assert outline == "solid"
    tab.press("Enter")
    assert tab.run("return document.activeElement.id") == "verdict"
    tab.press("Tab")
    assert tab.run("return document.activeElement.className") == "scroll"
    tab.run("document.querySelectorAll('#scores-1 thead button')[0].closest('.scroll').focus()")
    sorts = "return Array.from(document.querySelectorAll('#scores-1 thead th'), (th) => th.ariaSort)"
    rows = "Array.from(document.querySelectorAll('#scores-1 tbody tr'), "
    names = "return Array.from(document.querySelectorAll('#scores-1 thead .title'), (title) => title.textContent)"
    at = tab.run(names).index("score")
    column = f"return {rows} (tr) => Number(tr.cells[{at}].dataset.key))"
    for _ in range(at + 1):
        tab.press("Tab")
    tab.press(" ")
    assert tab.run(sorts)[at] == "ascending"
    up = tab.run(column)
    assert up == sorted(up)
    assert len(set(up)) > 1
    assert "ascending" in tab.run("return document.querySelector('.said').textContent")
    tab.press("Enter")
    assert tab.run(sorts)[at] == "descending"
    assert tab.run(column) == up[::-1] or tab.run(column) == sorted(up, reverse=True)
    assert tab.run(sorts).count("none") == len(tab.run(sorts)) - 1


def test_a_table_scrolls_inside_itself_on_a_phone(tab, page):
    tab.look(360)
    tab.open(page)
    scrolls = "const box = document.querySelector('.scroll'); return [box.scrollWidth > box.clientWidth, box.tabIndex]"
    assert tab.run(scrolls) == [True, 0]


def test_on_paper_all_is_open_light_and_inside_the_page(tab, page):
    tab.look(700, "dark", media="print")  # A4 within margins of 1 cm, at 96 dots an inch
    tab.open(page)
    assert tab.run("return getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") == "#ffffff"
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("return document.querySelectorAll('details:not([open])').length") == 0
    assert tab.run("return document.documentElement.scrollWidth") <= 700
    tab.run("dispatchEvent(new Event('afterprint'))")
    assert tab.run("return document.querySelectorAll('details[open]').length") == 0
    tab.tool("Emulation.setEmulatedMedia", media="", features=[])
    assert len(tab.tool("Page.printToPDF", printBackground=True)["data"]) > 10_000


def test_nothing_of_the_users_runs(tab, page):
    tab.look(1200)
    tab.open(page)
    assert tab.run("return window.harmed ?? 'no'") == "no"
    assert tab.run("return document.querySelectorAll('script').length") == 1
    assert "<script>" in tab.run("return document.body.innerText + document.body.textContent")
