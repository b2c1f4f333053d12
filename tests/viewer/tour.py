"""The pictures of the viewer in the README, taken in the browser of its tests: make tour (needs chromium and chromium-driver)."""

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import imagecodecs
import numpy as np
from browsing import KEY, Page

from omezarr_proc import cli
from omezarr_proc.viewer.serving import ViewerServer

ROOT = Path(__file__).parents[2]
BRIGHTFIELD, FLUORESCENCE = "brightfield.ome.zarr", "fluorescence.ome.zarr"
QUALITY = 80


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = ["--input-dir", str(ROOT / "data" / "input"), "--output-dir", folder, "--initial-downsample", "1", "--quiet"]
        assert cli.main(words) == 0
        with ViewerServer(Path(folder)) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            for width, height, steps in ((1100, 640, laptop), (390, 780, phone)):
                page = Page(str(shutil.which("chromium")), str(shutil.which("chromedriver")), width, height)
                steps(page, server.url, target)
                page.quit()
            server.shutdown()
            thread.join()


def laptop(page: Page, address: str, target: Path) -> None:
    page.open(address, BRIGHTFIELD)
    page.keys("#stage", *"++++")
    click_at(page, 0.3, 0.35, "#measure")
    click_at(page, 0.62, 0.62)
    keep(page, target / "brightfield.webp")
    page.open(address, FLUORESCENCE)
    theme(page, "dark")
    page.driver.execute_script("document.querySelector('#about summary').click()")
    hover(page, 0.62, 0.25)
    keep(page, target / "fluorescence.webp")


def phone(page: Page, address: str, target: Path) -> None:
    theme(page, "dark")
    page.open(address, FLUORESCENCE)
    page.keys("#stage", "+", KEY["right"])
    page.driver.execute_script("scrollTo(0, 0)")
    keep(page, target / "phone.webp")


def theme(page: Page, name: str) -> None:
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": name}]})


def hover(page: Page, right: float, down: float, *kinds: str) -> None:
    """Move the mouse to a part of the stage, and press it where told so."""
    box = page.driver.execute_script("return document.getElementById('canvas').getBoundingClientRect().toJSON()")
    place = {"x": int(box["x"] + right * box["width"]), "y": int(box["y"] + down * box["height"])}
    for kind in ("mouseMoved", *kinds):
        pressed = {"button": "left", "clickCount": 1} if kind in kinds else {}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, **place, **pressed})


def click_at(page: Page, right: float, down: float, tool: str | None = None) -> None:
    if tool:
        page.find(tool)[0].click()
    hover(page, right, down, "mousePressed", "mouseReleased")


def keep(page: Page, path: Path) -> None:
    page.wait(lambda: page.stage["state"] == "ready" and page.find(".thumb > *"))
    time.sleep(2)  # histograms, overview and thumbnails follow the picture
    shown = page.screenshot().astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(imagecodecs.webp_encode(shown, level=QUALITY, lossless=False))
    print(f"{path.stat().st_size / 1e3:.0f} kB  {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
