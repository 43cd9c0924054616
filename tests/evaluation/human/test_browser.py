"""The page in Chromium: rate by keyboard, come back, save, report."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mime_fast.evaluation.human.answers import collect
from mime_fast.evaluation.human.figures import study_figures
from mime_fast.evaluation.human.kit import write_study
from mime_fast.evaluation.human.sheets import read_sheet
from mime_fast.evaluation.human.study import SheetRow, Study
from tests.evaluation.human.conftest import AWKWARD, choose, rated, rows_of

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed")

FORBID_STORAGE = (
    "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }});"
)
WAIT = 20.0  # seconds


class Browser:
    """A page and what a person does with it."""

    def __init__(self, driver: Any, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads

    def open(self, page: Path) -> None:
        self.driver.get(page.as_uri())
        self.until(lambda: self.text("#count") != "")

    def press(self, *keys: str) -> None:
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def text(self, selector: str) -> str:
        return str(self.driver.find_element("css selector", selector).text)

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def run(self, script: str, *arguments: object) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, ready: Callable[[], object]) -> None:
        end = time.monotonic() + WAIT
        while not ready():
            assert time.monotonic() < end, "the page did not get there"
            time.sleep(0.05)

    def saved(self, name: str) -> Path:
        path = self.downloads / name
        self.until(lambda: path.is_file() and not list(self.downloads.glob("*.crdownload")))
        return path

    def asks_before_leaving(self) -> bool:
        return not self.run("return window.dispatchEvent(new Event('beforeunload', {cancelable: true}))")

    def complaints(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium has no sandbox for root
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        driver.set_window_size(1000, 900)
        yield Browser(driver, downloads)
    finally:
        driver.quit()


@pytest.fixture
def pages(study: Study, tmp_path: Path) -> dict[int, Path]:
    write_study(study, tmp_path / "study")
    return {annotator: tmp_path / "study" / f"for-annotator-{annotator}" / "page.html" for annotator in (1, 2, 3)}


def ratings_of(study: Study, row: SheetRow) -> str:
    """What the simulated annotators press: Alpha is best."""
    return "545" if "Alpha" in rated(study, row).models else "234"


def answer_ratings(browser: Browser, study: Study, annotator: int, rows: slice = slice(None)) -> None:
    for row in study.sheets["ratings", annotator][rows]:
        browser.press(*ratings_of(study, row), "n")


def test_a_study_by_keyboard_from_the_page_to_the_report(
    browser: Browser, pages: dict[int, Path], study: Study
) -> None:
    sheets = []
    for annotator, page in pages.items():
        browser.open(page)
        answer_ratings(browser, study, annotator)
        assert browser.text("#count").startswith("0 of") and browser.text("#count").endswith("comparisons answered")
        browser.click("#save-ratings")
        for row in study.sheets["ab", annotator]:
            browser.press(choose(study, "Alpha")(row)[0].lower(), "n")
        assert "Everything is answered" in browser.text("#state")
        assert browser.asks_before_leaving()
        browser.click("#save-ab")
        assert not browser.asks_before_leaving()
        sheets += [browser.saved(f"{kind}-{annotator}.csv") for kind in ("ratings", "ab")]
    answers = collect(study, [read_sheet(path) for path in sheets])
    assert (answers.faults, answers.notes) == ([], [])
    report = study_figures(study, answers)
    assert report["best"] == {"empathy": ["Alpha"], "relevance": ["Alpha"], "fluency": ["Alpha"]}
    assert report["ratings"]["Alpha"]["all"]["empathy"]["value"] == 5.0
    assert report["ratings"]["Beta"]["all"]["relevance"]["value"] == 3.0
    assert report["ab"][0]["win"]["value"] == 1.0
    assert browser.complaints() == []


def test_after_the_last_rating_come_the_comparisons(browser: Browser, pages: dict[int, Path], study: Study) -> None:
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    rows = study.sheets["ratings", 1]
    browser.open(pages[1])
    browser.press("n")  # the first one stays open
    answer_ratings(browser, study, 1, slice(1, None))
    assert browser.text("#count") == "16 of 17 ratings answered" and browser.text("#place") == "Item 17 of 17"
    assert browser.text("#next") == "Next →" and not browser.driver.find_element("id", "next").is_enabled()
    browser.click("#open")
    assert browser.text("#place") == "Item 1 of 17"
    browser.press(*ratings_of(study, rows[0]))
    assert browser.text("#state") == "All ratings are answered; the comparisons come next."
    assert browser.text("#next") == "Next →"  # from here on to the second one
    browser.press(*"n" * 16)
    assert browser.text("#place") == "Item 17 of 17" and browser.text("#next") == "Go on to the comparisons →"
    browser.press("5", "4", "5")
    assert browser.run("return document.activeElement.id") == "next"
    browser.press(keys.ENTER)
    assert browser.text("#place").startswith("Item 1 of") and "comparisons answered" in browser.text("#count")
    assert browser.run("return document.getElementById('guide').open")
    browser.click("#parts button:first-child")
    assert browser.text("#count") == "17 of 17 ratings answered"
    assert browser.complaints() == []


def test_an_unfilled_page_saves_the_sheet_byte_for_byte(browser: Browser, pages: dict[int, Path]) -> None:
    browser.open(pages[1])
    for kind in ("ratings", "ab"):
        browser.click(f"#save-{kind}")
        name = f"{kind}-1.csv"
        assert browser.saved(name).read_bytes() == (pages[1].parent / name).read_bytes()


def test_texts_are_shown_as_they_are(browser: Browser, pages: dict[int, Path], study: Study) -> None:
    browser.open(pages[1])
    row = study.sheets["ratings", 1][0]
    shown = browser.run("return [...document.querySelectorAll('.said')].map((one) => one.textContent)")
    item = rated(study, row)
    assert shown == [*study.instances[item.instance].context, study.reply(item.models[0], item.instance)]
    assert AWKWARD in shown[0]
    assert browser.run("return document.querySelectorAll('article b').length") == 3  # only the names of the criteria


def test_answers_are_there_after_a_reload(browser: Browser, pages: dict[int, Path], study: Study) -> None:
    browser.open(pages[1])
    answer_ratings(browser, study, 1, slice(0, 3))
    browser.press("4", "2")
    browser.open(pages[1])
    assert browser.text("#count") == "3 of 17 ratings answered"
    assert browser.text("#place") == "Item 4 of 17"
    checked = "return [...document.querySelectorAll('input:checked')].map((one) => one.name + one.value)"
    assert browser.run(checked) == ["empathy4", "relevance2"]
    assert browser.asks_before_leaving()
    browser.press("1")  # the scale that was still open
    assert browser.run(checked) == ["empathy4", "relevance2", "fluency1"]
    browser.open(pages[2])  # another annotator's page keeps its own
    assert browser.text("#count") == "0 of 17 ratings answered"


def test_keys(browser: Browser, pages: dict[int, Path]) -> None:
    checked = "return [...document.querySelectorAll('input:checked')].map((one) => one.name + one.value)"
    keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
    browser.open(pages[1])
    browser.press("6", "0", "x", "a")
    assert browser.run(checked) == []
    browser.press("3", keys.DELETE)
    assert browser.run(checked) == ["empathy3"]  # the marked scale is the next one by now
    back = webdriver.ActionChains(browser.driver).key_down(keys.SHIFT).send_keys(keys.TAB).key_up(keys.SHIFT)
    back.send_keys(keys.ARROW_RIGHT).perform()  # into the first scale again, where arrows change the answer
    assert browser.run(checked) == ["empathy4"]
    browser.press(keys.DELETE)
    assert browser.run(checked) == []
    browser.press("1", "2", "3")
    assert browser.run("return document.activeElement.id") == "next"
    browser.press(keys.ENTER)
    assert browser.text("#place") == "Item 2 of 17" and browser.run(checked) == []
    browser.press("p")
    assert browser.run(checked) == ["empathy1", "relevance2", "fluency3"]
    browser.press(keys.ARROW_RIGHT, keys.ARROW_RIGHT, keys.ARROW_LEFT)
    assert browser.text("#place") == "Item 2 of 17"
    browser.click("#open")
    assert browser.text("#place") == "Item 3 of 17"
    browser.click("#parts button:last-child")
    browser.press("5", "t")
    assert browser.run(checked) == ["choicetie"]
    assert browser.complaints() == []


def test_where_storage_is_forbidden_a_saved_file_goes_on(
    browser: Browser, pages: dict[int, Path], study: Study
) -> None:
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FORBID_STORAGE})
    browser.open(pages[1])
    assert "keeps nothing between visits" in browser.text("#notice")
    answer_ratings(browser, study, 1, slice(0, 2))
    browser.click("#save-ratings")
    saved = browser.saved("ratings-1.csv")
    browser.open(pages[1])
    assert browser.text("#count") == "0 of 17 ratings answered"
    browser.driver.find_element("id", "file").send_keys(str(saved))
    browser.until(lambda: browser.text("#count") == "2 of 17 ratings answered")
    for name in ("semicolons.csv", "other.csv"):
        text = saved.read_text("utf-8-sig").replace('","', '";"')
        path = saved.with_name(name)
        path.write_text(text if name[0] == "s" else text.replace(study.tag, "zzzzzz"))
        browser.driver.find_element("id", "file").send_keys(str(path))
        told = "17 items were read" if name[0] == "s" else "no item of this page"

        def shown(told: str = told) -> bool:
            return told in browser.text("#state") + browser.text("#notice")

        browser.until(shown)
    assert browser.text("#count") == "2 of 17 ratings answered"


def test_what_was_kept_and_is_broken_does_no_harm(browser: Browser, pages: dict[int, Path], study: Study) -> None:
    browser.open(pages[1])
    row = study.sheets["ratings", 1][0].id
    for kept in ("{", '"x"', json.dumps({"answers": {row: {"empathy": "9", "x": "1"}, "y": 3}, "at": {"ratings": 99}})):
        browser.run("localStorage.setItem(arguments[0], arguments[1])", f"mime_fast/{study.tag}/1", kept)
        browser.open(pages[1])
        assert browser.text("#count") == "0 of 17 ratings answered"
        browser.press("5")
        browser.press("p")
        assert rows_of(_csv(browser))[0]["empathy"] == "5"


def _csv(browser: Browser) -> bytes:
    return str(browser.run("return csv(data.parts[0])")).encode()


def test_two_tabs_do_not_overwrite_each_other(browser: Browser, pages: dict[int, Path]) -> None:
    browser.open(pages[1])
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(pages[1])
    browser.press("5", "5", "5")
    second = browser.driver.current_window_handle
    browser.driver.switch_to.window(first)
    browser.until(lambda: browser.text("#count") == "1 of 17 ratings answered")
    browser.press("n", "4", "4", "4")
    browser.driver.switch_to.window(second)
    browser.until(lambda: browser.text("#count") == "2 of 17 ratings answered")


@pytest.mark.parametrize("width", [320, 1000])
def test_every_control_is_named_and_nothing_overflows(browser: Browser, pages: dict[int, Path], width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.open(pages[1])
    for part in (1, 2):
        browser.click(f"#parts button:nth-child({part})")
        controls = browser.driver.find_elements("css selector", "button, input, summary, fieldset, progress, article")
        assert len(controls) > 10
        assert [one.get_attribute("outerHTML")[:80] for one in controls if not one.accessible_name] == []
        assert browser.run("return document.documentElement.scrollWidth") <= width
