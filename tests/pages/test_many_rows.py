"""A report of many jobs in a browser: rows are made as they are needed, and all of them can be reached."""

import pytest
from tests.pages.sweeps import done, job

from neuron_catalog.sweeping.report.facts import report_of
from neuron_catalog.sweeping.report.page import as_page

pytestmark = pytest.mark.slow

TASKS = ("fill-mask", "text-classification")
DOWN, ENTER, ESCAPE, TAB, END = "\ue015", "\ue007", "\ue00c", "\ue004", "\ue010"
FOCUSED = "document.activeElement"


def test_rows_come_as_they_are_needed(browser, reported):
    jobs = [job(f"esm.{number}", axes={"batch_size": number + 1}) for number in range(450)]
    browser.open(reported(jobs))
    assert len(browser.column(1)) < 450
    browser.find("#search").send_keys("batch_size")
    browser.press(DOWN)
    for _ in range(5):
        browser.press(END, DOWN)
    assert len(browser.column(1)) == 450
    assert not browser.find("#more").is_displayed()
    assert browser.find("#table").get_attribute("aria-rowcount") == "451"


def test_ten_thousand_jobs_stay_legible(browser, tmp_path):
    jobs = [
        job(f"m{n}", architecture=f"m{n // 40:03}", task=TASKS[n // 20 % 2], axes={"batch_size": n % 20 + 1})
        for n in range(10_000)
    ]
    page = tmp_path / "report.html"
    page.write_text(as_page(report_of("out", jobs, {each.name: done(each) for each in jobs[:7_777]})))
    browser.open(page)
    assert browser.find(".share").text == "77 %\ndone, 7,777 of 10,000 jobs"
    assert len(browser.texts(".square")) == len(browser.texts(".matrix tbody tr")) * 2
    assert browser.find(".square").text == "✓ 20"
    assert len(browser.column(1)) < 500
    browser.find("#matrix-more").click()
    assert len(browser.texts(".matrix tbody tr")) == 250
    browser.find("#search").send_keys("m249 batch_size 20")
    assert browser.find("#count").text == "2 of 10,000 jobs"
    browser.find("#clear").click()
    browser.find("[data-state=not_done]").click()
    assert browser.value(f"{FOCUSED}.matches('tr.row')")
    browser.press(ESCAPE)
    assert browser.value(f"{FOCUSED}.dataset.state") == "not_done"
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert len(browser.column(1)) == 1000
    assert browser.texts("#unprinted") == ["1,223 more jobs below, not printed."]


@pytest.fixture
def without_observers(browser):
    """Pages that are not told what comes into view, so that no row comes by itself."""
    quiet = "window.IntersectionObserver = class { observe() {} }"
    told = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": quiet})
    yield
    browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", told)


def test_more_rows_are_reached_by_keyboard(browser, reported, without_observers):
    browser.open(reported([job(f"esm.{number}", axes={"batch_size": number + 1}) for number in range(150)]))
    assert len(browser.column(1)) == 100
    browser.run("document.querySelector('tr.row').focus()")
    browser.press(TAB)
    assert browser.value(f"{FOCUSED}.id") == "more"
    assert browser.find("#more").text == "Show 50 more of 50 left"
    browser.press(ENTER)
    assert len(browser.column(1)) == 150
    assert browser.value(f"{FOCUSED}.getAttribute('aria-rowindex')") == "102"
