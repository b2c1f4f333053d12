"""The viewer's page in headless Chromium, and the colours that it has to show, computed from the dataset by its omero block."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import zarr
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

KEY = {"left": "\ue012", "right": "\ue014", "up": "\ue013", "down": "\ue015", "tab": "\ue004", "space": " ", "enter": "\ue007"}
SECONDS = 40  # for a picture to be there: software rendering on a busy machine
SNAP = 1 / 16  # of a screen pixel: how finely the software renderer places corners
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)


@dataclass(frozen=True)
class Channel:
    color: tuple[int, int, int]
    start: float
    end: float
    on: bool = True


def channels_of(dataset: Path) -> list[Channel]:
    attributes: Any = dict(zarr.open_group(dataset, mode="r").attrs)
    omero = attributes.get("ome", attributes)["omero"]
    return [
        Channel(tuple(bytes.fromhex(channel["color"])), channel["window"]["start"], channel["window"]["end"], channel["active"])
        for channel in omero["channels"]
    ]


def stretch_of(attributes: dict[str, Any]) -> np.ndarray:
    """A pixel's sides in x and y, in widths of a pixel, by the physical sizes."""
    image = attributes.get("ome", attributes)["multiscales"][0]
    if "scale" not in image["datasets"][0].get("coordinateTransformations", [{}])[0]:
        return np.ones(2)
    meters = {"nanometer": 1e-9, "micrometer": 1e-6}
    y, x = (
        scale * meters.get(axis.get("unit"), 1)
        for scale, axis in zip(image["datasets"][0]["coordinateTransformations"][0]["scale"][-2:], image["axes"][-2:], strict=True)
    )
    return np.array([1, y / x])


class Page:
    """One browser window with the page in it."""

    def __init__(self, chromium: str, chromedriver: str, width: int, height: int) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for flag in FLAGS:
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.width = width
        self.driver = webdriver.Chrome(options, Service(chromedriver))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, address: str, dataset: str) -> None:
        """Open this dataset as it is stored, and wait for its picture."""
        self.go(address, dataset)
        self.wait(lambda: self.stage["state"] == "ready")

    def go(self, address: str, dataset: str) -> None:
        if not self.driver.current_url.startswith(address):
            self.driver.get(f"{address}#data/{dataset}")
            return
        self.requests()
        self.driver.execute_script(
            "document.getElementById('stage').dataset.state = 'left';"
            "history.replaceState(null, '', '#'); location.hash = arguments[0]; scrollTo(0, 0)",
            f"data/{dataset}",
        )

    def wait(self, done: Callable[[], object]) -> None:
        end = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < end, f"not within {SECONDS} s; the page says: {self.stage} {self.error}; console: {self.console()}"
            time.sleep(0.05)

    @property
    def stage(self) -> dict[str, str]:
        """Its own account: state, level, zoom, and x, y of the centre in pixels of level 0, in y too as large as they are wide."""
        return dict(self.driver.execute_script("return {...document.getElementById('stage').dataset}"))

    @property
    def error(self) -> str:
        return self.text("#error")

    def text(self, selector: str) -> str:
        return self.find(selector)[0].text

    def find(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def keys(self, selector: str, *keys: str) -> None:
        """Press keys on the one element, once it is there: controls may come a moment after the picture."""
        self.wait(lambda: self.find(selector))
        (element,) = self.find(selector)
        for key in keys:
            element.send_keys(key)

    def console(self) -> list[str]:
        """What was written to the console since the last call, from warnings upwards."""
        return [line["message"] for line in self.driver.get_log("browser") if line["level"] in ("WARNING", "SEVERE")]

    def requests(self) -> list[str]:
        """The addresses asked for since the last call."""
        said = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in said if event["method"] == "Network.requestWillBeSent"]

    def screenshot(self) -> np.ndarray:
        return np.asarray(imagecodecs.png_decode(self.driver.get_screenshot_as_png()))[..., :3].astype(int)

    def expect(self, dataset: Path, channels: Sequence[Channel], *, plane: tuple[int, ...] = (), least: int = 100, colors: int = 8) -> None:
        """Assert that the stage shows the plane (indices of the axes t and z) in these channels: within 3 of 255, and SNAP of a pixel."""
        wrong: list[str] = ["nothing looked at"]

        def right() -> bool:
            places, expected = self._expected(dataset, channels, plane)
            assert len(places) >= least, f"only {len(places)} points can be looked at"
            assert len(np.unique(expected[0] // 16, axis=0)) >= colors, "a picture of so few colours proves nothing"
            shown = self.screenshot()[places[:, 1], places[:, 0]]
            off = ((shown < expected.min(axis=0) - 3) | (shown > expected.max(axis=0) + 3)).any(axis=1)
            wrong[:] = [
                f"at {place}: {is_}, not {should}"
                for place, is_, should in zip(places[off].tolist(), shown[off].tolist(), expected[0, off].tolist(), strict=True)
            ]
            return len(wrong) <= len(places) // 100

        end = time.monotonic() + SECONDS
        while not right():
            assert time.monotonic() < end, f"{len(wrong)} colours are wrong, the first {wrong[:3]}; {self.stage}; {self.console()}"
            time.sleep(0.1)

    def _expected(self, dataset: Path, channels: Sequence[Channel], plane: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Screen pixels (n, 2) and the colours there (5, n, 3): where they are, and where SNAP may have moved them."""
        stage = {name: value for name, value in self.stage.items() if name != "state"}
        level, zoom, x, y = int(stage["level"]), float(stage["zoom"]), float(stage["x"]), float(stage["y"])
        places = np.array(
            self.driver.execute_script(
                "const box = document.getElementById('canvas').getBoundingClientRect(), found = [];"
                "const above = [...document.querySelectorAll('.scale, .level, .top p, #overview, #cross')]"
                "  .map(e => e.getBoundingClientRect());"
                "const free = (x, y) => document.elementFromPoint(x, y)?.tagName === 'CANVAS'"
                "  && !above.some(b => x > b.left - 3 && x < b.right + 3 && y > b.top - 3 && y < b.bottom + 3);"
                "for (let y = Math.ceil(box.top) + 4; y < Math.min(box.bottom, innerHeight) - 4; y += 11)"
                "  for (let x = Math.ceil(box.left) + 4; x < box.right - 4; x += 11)"
                "    if (free(x + 0.5, y + 0.5)) found.push([x, y]);"
                "return [[box.left + box.width / 2, box.top + box.height / 2], ...found]"
            )
        )
        centre, places = places[0], places[1:].astype(int)
        group: Any = zarr.open_group(dataset, mode="r")
        array = group[str(level)]
        # where on the level's grid each screen pixel's centre lies
        stretch = stretch_of(dict(group.attrs))
        at = (np.array([x, y]) + (places + 0.5 - centre) / 2**zoom) / 2**level / stretch
        height, width = array.shape[-2:]
        tile = array.chunks[-1]
        screen = 1 / 2**zoom / 2**level / stretch  # a screen pixel in pixels of the level, in x and in y
        snap = SNAP * screen
        # nothing is interpolated across tiles, and their borders are smoothed
        border = np.maximum(screen, 1)
        inside = ((at > border) & (at < (width, height) - border)).all(axis=1)
        inside &= ((at % tile > border) & (at % tile < tile - border)).all(axis=1)
        if not level:  # each pixel is a square; which of two a border belongs to is open
            inside &= (np.abs(at % 1 - 0.5) < 0.49 - snap).all(axis=1)
        places, at = places[inside], at[inside]
        total = np.zeros((5, len(at), 3))
        for index, channel in enumerate(channels):
            if not channel.on:
                continue
            *outer, _, _ = array.shape
            selected = {1: (index,), 2: (index, *plane), 3: (*plane[:1], index, *plane[1:])}[len(outer)]
            pixels = array[selected].astype(float)
            for corner, part in zip([(0, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)], total, strict=True):
                x, y = np.floor(at).astype(int).T
                values = bilinear(pixels, at - 0.5 + snap * corner) if level else pixels[y, x]
                part += np.clip((values - channel.start) / (channel.end - channel.start), 0, 1)[:, None] * channel.color
        return places, np.rint(np.minimum(total, 255)).astype(int)

    def quit(self) -> None:
        self.driver.quit()


def bilinear(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values at (x, y) positions, where pixel centres are whole numbers."""
    x, y = np.floor(at).astype(int).T
    fx, fy = (at - np.floor(at)).T
    top = values[y, x] * (1 - fx) + values[y, x + 1] * fx
    bottom = values[y + 1, x] * (1 - fx) + values[y + 1, x + 1] * fx
    return np.asarray(top * (1 - fy) + bottom * fy)
