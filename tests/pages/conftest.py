"""A browser without a window, and pages that are opened in it from files."""

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.pages.sweeps import mixed, plant

from neuron_catalog.sweeping.report.writing import write_report

OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)


@pytest.fixture(scope="session")
def _driver():
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed.")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not chromium or not chromedriver:
        pytest.skip("chromium and chromedriver are not installed, so that no page is opened.")
    options = selenium.ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for option in (*OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = selenium.Chrome(options=options, service=selenium.ChromeService(chromedriver))
        yield driver
        driver.quit()


class Browser:
    """What the tests do with a page."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, hash_=""):
        self.driver.get("about:blank")
        self.driver.get(f"{Path(path).absolute().as_uri()}{hash_}")
        self.wait("'ready' in document.documentElement.dataset")

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def value(self, expression):
        return self.run(f"return {expression}")

    def wait(self, expression):
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 60, 0.05).until(lambda _: self.value(expression), expression)

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((each) => each.textContent)", selector
        )

    def column(self, number):
        """Return what the rows say in a column, from 1."""
        return self.texts(f"tr.row td:nth-child({number})")

    def choose(self, key, word):
        self.run(
            "const s = document.querySelector(`select[data-key='${arguments[0]}']`);"
            "s.value = arguments[1]; s.dispatchEvent(new Event('change'))",
            key,
            f"is {word}",
        )

    def media(self, **features):
        said = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": said})

    def size(self, width, height):
        said = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", said)

    def complaints(self):
        return [each["message"] for each in self.driver.get_log("browser")]

    def requests(self):
        events = [json.loads(each["message"])["message"] for each in self.driver.get_log("performance")]
        sent = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent if each["documentURL"].startswith("file://")]


@pytest.fixture
def browser(_driver):
    """A browser as if it was new; a page that complained, or asked for more than files, fails the test."""
    found = Browser(_driver)
    found.complaints(), found.requests()
    found.media(prefers_color_scheme="light")
    found.size(1400, 1000)
    yield found
    complaints, requests = found.complaints(), found.requests()
    found.run("try { localStorage.clear() } catch {}")
    assert complaints == []
    assert [url for url in requests if not url.startswith("file://")] == []


@pytest.fixture
def reported(tmp_path):
    """Plant a sweep and report it; returns the page."""

    def make(jobs, outcomes=(), folder="out", out=None):
        return Path(write_report(plant(tmp_path / folder, jobs, outcomes), out)[0])

    return make


@pytest.fixture
def mixed_page(reported):
    """The page of a sweep with jobs of all kinds."""
    return reported(*mixed())
