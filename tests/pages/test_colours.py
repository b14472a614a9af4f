"""Texts can be read in light and in dark, and the choice between them is remembered."""

import pytest
from tests.pages.sweeps import mixed

pytestmark = pytest.mark.slow

LEAST = 4.5
"""Contrast of texts that WCAG 2 asks for at level AA."""

TOO_WEAK = """
const channels = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const over = (a, b) => a.slice(0, 3).map((c, i) => c * (a[3] ?? 1) + b[i] * (1 - (a[3] ?? 1)));
const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const light = (c) => c.map((v, i) => linear(v / 255) * [0.2126, 0.7152, 0.0722][i]).reduce((a, b) => a + b);
const ground = (element) => {
  if (!element) return [255, 255, 255];
  return over(channels(getComputedStyle(element).backgroundColor), ground(element.parentElement));
};
const weak = [];
let seen = 0;
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const element = walker.currentNode.parentElement;
  const text = walker.currentNode.textContent.trim();
  if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
  if (["SCRIPT", "NOSCRIPT", "OPTION", "title"].includes(element.tagName)) continue;
  const style = getComputedStyle(element);
  const drawn = element.namespaceURI.endsWith("svg") ? style.fill : style.color;
  const [a, b] = [over(channels(drawn), ground(element)), ground(element)].map(light).sort((x, y) => y - x);
  seen += 1;
  if ((a + 0.05) / (b + 0.05) < arguments[0]) weak.push([element.className, text, drawn]);
}
return [seen, weak];
"""


def is_dark(browser):
    return browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(19, 20, 22)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_their_ground(browser, mixed_page, scheme):
    browser.media(prefers_color_scheme=scheme)
    browser.open(mixed_page)
    browser.find("[data-state=failed]").click()
    browser.run("document.querySelector('tr.row').click()")
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert is_dark(browser) == (scheme == "dark")
    seen, weak = browser.run(TOO_WEAK, LEAST)
    assert seen > 100
    assert weak == []


def test_the_check_of_contrast_finds_what_is_weak(browser, mixed_page):
    browser.open(mixed_page)
    browser.run("document.querySelector('h1').style.color = '#aaa'")
    assert [each[1] for each in browser.run(TOO_WEAK, LEAST)[1]] == ["Sweep report"]


def test_the_button_changes_the_theme_and_the_page_remembers_it(browser, mixed_page):
    browser.open(mixed_page)
    assert browser.find("#theme").get_attribute("aria-label") == "Use dark colours"
    browser.find("#theme").click()
    assert is_dark(browser)
    browser.driver.refresh()
    browser.wait("'ready' in document.documentElement.dataset")
    assert is_dark(browser)
    assert browser.find("#theme").get_attribute("aria-label") == "Use light colours"


def test_no_state_is_told_by_colour_alone(browser, mixed_page):
    browser.open(mixed_page)
    jobs, _ = mixed()
    assert all(text.strip("✓↺✗·") for text in browser.column(5))
    assert len({text[0] for text in browser.column(5)}) == 4
    squares = browser.value(
        "[...document.querySelectorAll('.square')].map((each) => [each.textContent, each.ariaLabel])"
    )
    assert len(squares) == len(jobs)
    assert all(sign in "✓↺✗·" and ": " in told for sign, told in squares)


def test_motion_is_left_out_where_that_is_asked(browser, mixed_page):
    browser.media(prefers_reduced_motion="reduce")
    browser.open(mixed_page)
    assert browser.value("calm()") is True
