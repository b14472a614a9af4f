"""The report of a sweep in a browser: everything on it works with a mouse, and without one."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tests.pages.sweeps import HOSTILE, done, failed, job, mixed, plant

from neuron_catalog.sweeping.report.writing import write_report

pytestmark = pytest.mark.slow

DOWN, UP, ENTER, ESCAPE, TAB = "\ue015", "\ue013", "\ue007", "\ue00c", "\ue004"
RIGHT, END = "\ue014", "\ue010"
FOCUSED = "document.activeElement"
ROW = 'tr.row[tabindex="0"]'


def count(browser):
    return browser.find("#count").text


def hash_of(browser):
    return unquote(urlsplit(browser.driver.current_url).fragment)


def test_the_head_tells_how_far_it_is(browser, mixed_page):
    browser.open(mixed_page)
    assert browser.find("h1").text == "Sweep report"
    assert browser.find(".share").text == "66 %\ndone, 16 of 24 jobs"
    assert browser.texts("#states .number") == ["12", "4", "4", "4"]
    assert browser.texts("#states .word") == ["done", "from the cache", "failed", "not done yet"]
    assert browser.value("document.querySelector('#count').getAttribute('role')") == "status"


def test_search_takes_all_words(browser, mixed_page):
    browser.open(mixed_page)
    browser.find("#search").send_keys("ALBERT torch-exp  batch_size 4")
    assert count(browser) == "2 of 24 jobs"
    assert browser.column(1) == ["tiny albert"] * 2
    assert browser.column(4) == ["torch-export"] * 2
    browser.find("#search").send_keys(" nothing")
    assert count(browser) == "0 of 24 jobs"
    assert browser.find("#none").text == "No job is like that."


def test_causes_can_be_searched(browser, mixed_page):
    browser.open(mixed_page)
    browser.find("#search").send_keys("cause 3")
    assert set(browser.column(5)) == {"✗failed"}


def test_filters_join_and_can_be_taken_away(browser, mixed_page):
    browser.open(mixed_page)
    browser.choose("backend", "torchscript")
    browser.choose("task", "fill-mask")
    browser.find("[data-state=cached]").click()
    assert set(browser.column(2)) == {"fill-mask"}
    assert set(browser.column(4)) == {"torchscript"}
    assert set(browser.column(5)) == {"↺from the cache"}
    assert browser.texts(".chip > span:first-child") == [
        "Backend: torchscript",
        "Task: fill-mask",
        "State: from the cache",
    ]
    assert browser.find("[data-state=cached]").get_attribute("aria-pressed") == "true"
    browser.find(".chip:nth-child(2)").click()
    assert "text-classification" in browser.column(2)
    browser.find("#clear").click()
    assert count(browser) == "24 jobs"
    assert browser.value(f"{FOCUSED}.id") == "search"


@pytest.mark.parametrize("key", ["model", "task", "sizes", "backend", "state", "manifest"])
def test_every_column_sorts_both_ways(browser, mixed_page, key):
    browser.open(mixed_page)
    place = browser.texts("#table th").index(key.capitalize()) + 1
    button = browser.find(f"#table th:nth-child({place}) button")
    button.click()
    upwards = browser.column(place)
    assert browser.find(f"#table th:nth-child({place})").get_attribute("aria-sort") == "ascending"
    button.click()
    assert browser.column(place) == upwards[::-1]
    assert browser.find(f"#table th:nth-child({place})").get_attribute("aria-sort") == "descending"
    button.click()
    assert browser.find(f"#table th:nth-child({place})").get_attribute("aria-sort") == "none"
    assert browser.column(1) == [f"tiny {name}" for name in ("albert", "bert", "esm") for _ in range(8)]


def test_numbers_are_sorted_as_numbers_and_what_is_not_known_is_last(browser, mixed_page):
    browser.open(mixed_page, "#sort=-seconds")
    times = browser.column(6)
    known = [float(each.split()[0]) for each in times if each != "–"]
    assert known == sorted(known, reverse=True)
    assert times[len(known) :] == ["–"] * 4
    browser.find("#table th:nth-child(9) button").click()
    known = [each for each in browser.column(9) if each != "–"]
    assert known[:2] == ["0.1", "0.15"]
    assert known[-1] == "1.1 !"
    assert len(browser.driver.find_elements("css selector", "svg.bar .over")) == 3


def test_everything_can_be_done_without_a_mouse(browser, mixed_page):
    browser.open(mixed_page)
    browser.press(TAB)
    assert browser.value(f"{FOCUSED}.className") == "skip"
    browser.press(ENTER)
    assert browser.value(f"{FOCUSED}.id") == "rows"
    browser.press("/")
    assert browser.value(f"{FOCUSED}.id") == "search"
    browser.press("e", "s", "m")
    assert count(browser) == "8 of 24 jobs"
    browser.press(DOWN)
    assert browser.value(f"{FOCUSED}.matches('tr.row:first-child')")
    browser.press(DOWN, DOWN, UP, ENTER)
    assert browser.find(ROW).get_attribute("aria-expanded") == "true"
    assert browser.value(
        "document.querySelector('tr.details').previousElementSibling === document.activeElement"
    )
    assert browser.value(f"getComputedStyle({FOCUSED}).outlineStyle") == "solid"
    assert "Attempts" in browser.find("tr.details").text
    browser.press(DOWN, UP, ESCAPE)
    assert not browser.texts("tr.details")
    browser.press(END)
    assert browser.value(f"{FOCUSED}.matches('tr.row:last-child')")
    browser.press(ESCAPE)
    assert browser.value(f"{FOCUSED}.id") == "search"
    browser.press(ESCAPE)
    assert count(browser) == "24 jobs"
    browser.press(ESCAPE)
    assert browser.value(f"{FOCUSED} === document.body")


def test_a_square_filters_to_its_row_and_escape_leads_back(browser, mixed_page):
    browser.open(mixed_page)
    assert len(browser.texts(".square")) == 24
    assert len(browser.texts('.square[tabindex="0"]')) == 1
    browser.run("document.querySelector('.square').focus()")
    browser.press(RIGHT, DOWN)
    told = browser.value(f"{FOCUSED}.getAttribute('aria-label')")
    assert told == "tiny bert, fill-mask, torch-export, batch_size 4: done"
    browser.press(ENTER)
    assert count(browser) == "1 of 24 jobs"
    assert browser.value(f"{FOCUSED}.matches('tr.row')")
    assert browser.column(3) == ["batch_size 4"]
    browser.press(ESCAPE)
    assert browser.value(f"{FOCUSED}.getAttribute('aria-pressed')") == "true"
    browser.press(ESCAPE)
    assert count(browser) == "24 jobs"


def test_a_cell_with_many_jobs_has_counts(browser, reported):
    jobs = [job(f"esm.{size}", axes={"batch_size": size}) for size in range(1, 21)]
    browser.open(reported(jobs, [*map(done, jobs[:15]), *map(failed, jobs[15:18])]))
    assert browser.texts(".square") == ["✓ 15", "✗ 3", "· 2"]
    browser.find(".square.bad").click()
    assert count(browser) == "3 of 20 jobs"


def test_failures_are_grouped_and_lead_to_their_jobs(browser, mixed_page):
    browser.open(mixed_page)
    assert browser.texts(".group .cause > bdi") == ["Cause 1.", "Cause 3."]
    browser.find(".group summary").click()
    assert browser.find(".group .remedy").text == "→ Mend it."
    assert len(browser.texts(".group[open] .names li")) == 2
    browser.find(".group[open] button").click()
    assert count(browser) == "2 of 24 jobs"
    assert set(browser.column(5)) == {"✗failed"}


def test_the_address_has_what_is_shown_and_brings_it_back(browser, mixed_page):
    browser.open(mixed_page)
    browser.find("#search").send_keys("bert")
    browser.choose("task", "fill-mask")
    browser.find("#table th:nth-child(6) button").click()
    browser.wait("location.hash.includes('sort=seconds')")
    assert hash_of(browser) == "q=bert&.task=fill-mask&sort=seconds"
    before = browser.column(6)
    browser.driver.refresh()
    browser.wait("'ready' in document.documentElement.dataset")
    assert browser.find("#search").get_attribute("value") == "bert"
    assert browser.column(6) == before
    browser.run("location.hash = '#.state=failed&.no=1&.task=none&sort=what'")
    browser.wait("document.querySelector('#count').textContent === '4 of 24 jobs'")
    browser.find("#clear").click()
    browser.wait("location.hash === ''")


def test_texts_of_models_stay_texts(browser, reported):
    jobs = [
        job(f"esm.{number}", model=text, task=text[:80], axes={text[:80]: 1})
        for number, text in enumerate(HOSTILE)
    ]
    browser.open(reported(jobs, [failed(each, cause=each.model, remedy=each.model) for each in jobs]))
    assert browser.column(1) == list(HOSTILE)
    for row in range(len(jobs)):
        browser.run("document.querySelectorAll('tr.row')[arguments[0]].click()", row)
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.driver.title == "Sweep report"
    assert not browser.driver.find_elements("css selector", "img, main script, iframe, object, embed")
    assert browser.texts("tr.details dd")[1] == HOSTILE[0]
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    browser.run("document.querySelectorAll('.square')[1].click()")
    assert browser.column(1) == [HOSTILE[1]]
    browser.wait("location.hash !== ''")
    browser.driver.refresh()
    browser.wait("'ready' in document.documentElement.dataset")
    assert browser.column(1) == [HOSTILE[1]]


@pytest.mark.parametrize(
    ("jobs", "outcome", "share", "rows"),
    [(0, done, "–", 0), (1, done, "100 %", 1), (3, failed, "0 %", 3), (3, None, "0 %", 3)],
    ids=["no job", "one job", "all failed", "none done yet"],
)
def test_a_sweep_of_any_kind_has_a_page(browser, reported, jobs, outcome, share, rows):
    made = [job(f"esm.{number}", axes={"batch_size": number + 1}) for number in range(jobs)]
    browser.open(reported(made, [outcome(each) for each in made] if outcome else []))
    assert browser.find("#share").text == share
    assert len(browser.column(1)) == rows
    assert count(browser) == f"{jobs} job{'s' * (jobs != 1)}"
    assert browser.find("#matrix").is_displayed() == bool(jobs)
    assert browser.find("#groups").is_displayed() == (outcome is failed)
    if not jobs:
        assert browser.find("#none").text == "There are no jobs."


@pytest.mark.parametrize("width", [360, 700, 1100, 1230])
def test_a_narrow_window_needs_no_scrolling_to_the_side(browser, mixed_page, width):
    browser.size(width, 900)
    browser.open(mixed_page)
    browser.run("document.querySelectorAll('tr.row')[3].click()")
    browser.run("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert browser.value("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert browser.find("#sort").is_displayed() == (width < 1216)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_links_lead_to_manifests(browser, reported, tmp_path, elsewhere):
    browser.open(reported(*mixed(), "a b#c%é", str(tmp_path / "reports") if elsewhere else None))
    links = browser.value("[...document.querySelectorAll('tr.row a')].map((each) => each.href)")
    assert len(links) == 16
    for link in links:
        assert Path(unquote(urlsplit(link).path)).is_file(), link


def test_a_report_of_a_store_says_where_manifests_are(browser, s3, tmp_path):
    made = job()
    page, *_ = write_report(plant(s3, [made], [done(made)]), str(tmp_path))
    browser.open(page)
    assert browser.column(10) == ["in the store"]
    browser.run("document.querySelector('tr.row').click()")
    assert browser.find("tr.details code").text == f"{s3}/esm.fill-mask/neuron_catalog.json"
