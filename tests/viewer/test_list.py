"""The page's list of thousands: rows and requests are of what is in sight; a filter, keys, and what cannot be opened.

Needs what test_browser.py needs.
"""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
import tifffile

if os.environ.get("BROWSER_TESTS"):
    import selenium  # noqa: F401
else:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[browser]'")
from browsing import KEY, Page
from ome import page as member
from ome import xml
from selenium.webdriver import ActionChains

from omezarr_proc.app.live import LiveFiles
from omezarr_proc.app.search import tiffs_in
from omezarr_proc.viewer.serving import ViewerServer

COUNT, FOLDERS = 3000, 3
ROW, HEADING = 46, 38  # pixels
BAD = f"day 2/img_{COUNT - 1}.tif"


class Server(ViewerServer):
    """Notes which files it was asked to open."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        super().__init__(folder, files=LiveFiles(tiffs_in(folder)))

    def images(self, name: str) -> dict[str, Any]:
        self.asked.append(name)
        return super().images(name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thousands of TIFFs in three folders, of which the last file is damaged: all others are links to one."""
    folder = tmp_path_factory.mktemp("scans")
    tifffile.imwrite(folder / "img.tif", np.arange(600, dtype=np.uint16).reshape(20, 30))
    for number in range(COUNT):
        path = folder / f"day {number * FOLDERS // COUNT}" / f"img_{number}.tif"
        path.parent.mkdir(exist_ok=True)
        path.hardlink_to(folder / "img.tif")
    (folder / "img.tif").unlink()
    (folder / BAD).unlink()
    (folder / BAD).write_bytes(b"II*\0junk")
    return folder


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def rows(page: Page) -> list[str]:
    return list(page.driver.execute_script("return [...document.querySelectorAll('#datasets a')].map(a => a.textContent)"))


def focused(page: Page) -> str:
    return str(page.driver.execute_script("return document.activeElement.getAttribute('aria-label')"))


def test_what_is_in_sight_is_opened_and_nothing_else(page: Page, server: Server) -> None:
    page.driver.get(server.url)
    page.wait(lambda: page.stage["state"] == "ready")
    page.wait(lambda: len(page.find(".thumb > canvas")) >= 2)
    seen, whole = page.driver.execute_script("const {clientHeight, scrollHeight} = datasets; return [clientHeight, scrollHeight]")
    assert whole == COUNT * ROW + FOLDERS * HEADING
    in_sight = -(-seen // ROW) + 1
    assert len(rows(page)) <= in_sight + 2 * 300 // ROW + 2
    page.driver.execute_script(
        "let steps = 50; const timer = setInterval(() => {"
        "  datasets.scrollTop += 1000; if (!--steps) { datasets.scrollTop = 1e7; clearInterval(timer); } }, 5)"
    )
    page.wait(lambda: page.find("#datasets .why"))
    assert len(rows(page)) <= in_sight + 2 * 300 // ROW + 2
    assert len(server.asked) == len(set(server.asked)) <= 2 * in_sight + 50  # what flies past is opened for a step at most
    link = page.find("#datasets .why")[0].find_element("xpath", "../..")
    assert link.get_attribute("aria-label").startswith(f"{BAD}: ")
    assert page.console() == []


def test_the_filter_leaves_what_has_all_words(page: Page, server: Server) -> None:
    page.driver.get(server.url)
    page.wait(lambda: page.stage["state"] == "ready")
    page.keys("#filter", "DAY", " ", "1/img_133")
    assert rows(page) == [f"img_133{n}.tif" for n in range(len(rows(page)))]
    assert page.text("#count") == f"10 of {COUNT}"
    page.keys("#filter", "7")
    assert rows(page) == ["img_1337.tif"]
    page.wait(lambda: len(page.find(".thumb > canvas")) == 1)
    assert [name for name in server.asked if "img_133" in name][-1] == "day 1/img_1337.tif"


def test_arrows_go_from_entry_to_entry_and_the_tab_key_past_them(laptop: Page, server: Server) -> None:
    laptop.driver.get(server.url)
    laptop.wait(lambda: laptop.stage["state"] == "ready")
    laptop.keys("#datasets a[tabindex='0']", KEY["down"])
    assert len(laptop.find("#datasets a[tabindex='0']")) == 1
    home, end, page_down = "\ue011", "\ue010", "\ue00f"
    assert focused(laptop) == "day 0/img_1.tif"
    for key, number in ((page_down, 6), (home, 0), (end, COUNT - 1), (KEY["up"], COUNT - 2)):
        ActionChains(laptop.driver).send_keys(key).perform()
        assert int(focused(laptop).partition("img_")[2].partition(".")[0]) == pytest.approx(number, abs=2 if key == page_down else 0)
    laptop.driver.execute_script("datasets.scrollTop = 0")  # who scrolls away keeps the place of the keyboard
    ActionChains(laptop.driver).send_keys(KEY["enter"]).perform()
    laptop.wait(lambda: laptop.driver.title == f"day 2/img_{COUNT - 2}.tif" and laptop.stage["state"] == "ready")
    assert laptop.console() == []


def test_a_link_opens_its_file_at_once_or_says_why_not(laptop: Page, server: Server) -> None:
    laptop.driver.get(f"{server.url}#data/{quote('day 1/img_1500.tif')}")
    laptop.wait(lambda: laptop.driver.title == "day 1/img_1500.tif" and laptop.stage["state"] == "ready")
    assert server.asked[0] == "day 1/img_1500.tif"
    assert laptop.text("#datasets [aria-current]") == "img_1500.tif"
    laptop.driver.execute_script("location.hash = arguments[0]", f"data/{quote(BAD)}")
    laptop.wait(lambda: laptop.stage["state"] == "error")
    assert BAD in laptop.error
    assert laptop.console() == []


def test_a_link_to_a_member_of_a_set_opens_the_set(laptop: Page, tmp_path: Path) -> None:
    names = [f"s_{number}.ome.tif" for number in range(3)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(member(number, xml(number, names)))
    with Server(tmp_path) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        for _ in range(2):  # before and after the set is known
            laptop.driver.get("about:blank")
            laptop.driver.get(f"{server.url}#data/{names[2]}")
            laptop.wait(lambda: laptop.driver.title == names[0] and laptop.stage["state"] == "ready")
            assert rows(laptop) == names[:1]
        server.shutdown()
        thread.join()
    assert laptop.console() == []
