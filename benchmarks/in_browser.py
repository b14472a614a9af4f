"""How long a page with many rows takes in Chromium: to open, to search, to sort. Its own clock counts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")

FIRST_ROWS = """
const done = arguments[0];
const look = () => {
  if (!document.querySelector("tr.row")) return requestAnimationFrame(look);
  requestAnimationFrame(() => setTimeout(() => done(performance.now() / 1000)));
};
look();
"""
"""Seconds from the navigation until a frame with the first rows has been drawn; `now` counts from there."""

AFTER = """
const [act, done] = arguments;
const started = performance.now();
new Function(act)();
requestAnimationFrame(() => setTimeout(() => done((performance.now() - started) / 1000)));
"""
"""Seconds from an input until the frame with what it changes has been drawn."""

TYPE = """
const search = document.getElementById("search");
search.value = "model-24 token";
search.dispatchEvent(new Event("input"));
"""
SORT = "document.querySelector('#table th:nth-child(6) button').click();"
FILTER = "document.querySelector('[data-state=failed]').click();"
ACTS = {"search": TYPE, "search again": TYPE, "sort all": f"clearAll(); {SORT}", "filter": FILTER}
"""What is done on the page, in this order."""


def page_times(page: Path, rounds: int) -> dict[str, list[float]]:
    """Return seconds of each round: until the first rows are seen, and until a change is.

    Raises:
        RuntimeError: if there is no chromedriver.
    """
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = _driver(profile)
        try:
            for _ in range(rounds):
                for what, seconds in _round(driver, page).items():
                    times.setdefault(what, []).append(seconds)
        finally:
            driver.quit()
    return times


def _round(driver: Any, page: Path) -> dict[str, float]:
    driver.get("about:blank")
    driver.get(page.absolute().as_uri())
    seen = {"first rows": driver.execute_async_script(FIRST_ROWS)}
    for what, act in ACTS.items():
        seen[what] = driver.execute_async_script(AFTER, act)
    assert driver.execute_script("return view.rows.length") == 1000
    return seen


def _driver(profile: str) -> Any:
    from selenium import webdriver

    chromedriver = shutil.which("chromedriver")
    if chromedriver is None:
        raise RuntimeError("chromedriver is not installed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1400,1000"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(chromedriver))
    driver.set_script_timeout(60)
    return driver
