"""The built pages as Chromium shows them, in a wide and a narrow window."""

import functools
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .conftest import ROOT

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]
WIDE, NARROW = (1400, 1000), (390, 844)
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING_PICTURES = """
    return [...document.images].filter(it => it.offsetParent && it.complete && !it.naturalWidth).map(it => it.src)
"""
OVERFLOW = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The pages served on this machine: searching fetches its index."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(programs.values()), f"not found: {[name for name, path in programs.items() if path is None]}"
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in [*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield driver
    driver.quit()


def resize(browser, size):
    """The window as a page sees it: Chromium's own has at least 500 pixels."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def names_of_pages():
    docs = ROOT / "docs"
    made = [path for path in docs.rglob("*.md") if "_static" not in path.parts]
    return sorted(path.relative_to(docs).with_suffix(".html").as_posix() for path in made)


@pytest.mark.parametrize("page", ["index", "recipes", "speed", "gallery/geometry", "reference/batches"])
def test_a_page_fits_windows_between(browser, address, page):
    """Where the columns beside it come and go."""
    browser.get(f"{address}/{page}.html")
    overflow = {}
    for width in (820, 900, 1024, 1152, 1199, 1320):
        resize(browser, (width, 900))
        overflow[width] = browser.execute_script(OVERFLOW)
    assert set(overflow.values()) == {0}, overflow


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_fits_its_window_and_reports_no_error(browser, address, size):
    resize(browser, size)
    pages, faults = names_of_pages(), []
    for page in pages:
        browser.get(f"{address}/{page}")
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        found = browser.execute_script(OVERFLOW), browser.execute_script(MISSING_PICTURES), errors
        if found != (0, [], []):
            faults.append((page, *found))
    assert faults == []
    assert len(pages) > 40


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("RandomResizedCrop", "reference/geometry.html"),
        ("scan_epoch", "reference/batches.html"),
        ("flow_from_directory", "reference/keras.html"),
    ],
)
def test_a_name_is_found_by_searching(browser, address, name, page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    resize(browser, WIDE)
    browser.get(f"{address}/index.html")
    field = browser.find_element(By.CSS_SELECTOR, "input[name=q]")
    field.send_keys(name)
    field.submit()
    found = WebDriverWait(browser, 20).until(lambda it: it.find_elements(By.CSS_SELECTOR, "#search-results li a"))
    assert page in found[0].get_attribute("href").split("#")[0]
    found[0].click()
    assert name in browser.find_element(By.TAG_NAME, "article").text


def test_light_and_dark_can_be_chosen(browser, address):
    resize(browser, WIDE)
    browser.get(f"{address}/index.html")
    seen = set()
    for _ in range(3):  # as the system has it, dark, light
        browser.execute_script("[...document.querySelectorAll('.theme-toggle')].find(it => it.offsetParent).click()")
        seen.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    assert len(seen) == 2
