"""A plate in the page: a grid of its wells in one contrast, by mouse, keyboard and screen reader; and the way to its fields and back.

Needs what test_page.py needs.
"""

import base64
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import zarr
from plates import write_plate

if os.environ.get("BROWSER_TESTS"):
    import selenium  # noqa: F401
else:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[browser]'")
from browsing import KEY, Page, channels_of

from omezarr_proc import cli
from omezarr_proc.viewer.serving import ViewerServer

WELLS = [(0, 1, 2), (0, 3, 1), (2, 1, 1)]
AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three wells of 3 x 4: A2 of two fields, A4, and C2, whose field is lost."""
    folder = tmp_path_factory.mktemp("plates")
    write_plate(folder / "screen.ome.tif", WELLS, attributes='Rows="3" Columns="4"')
    assert cli.main([str(folder / "screen.ome.tif"), "--output-dir", str(folder / "out"), "--initial-downsample", "1", "--quiet"]) == 0
    dataset = folder / "out" / "screen.ome.zarr"
    (dataset / "C" / "2" / "0" / "zarr.json").unlink()
    return dataset


@pytest.fixture(scope="module")
def plates(plate: Path) -> Iterator[str]:
    with ViewerServer(plate.parent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
        thread.join()


def show(page: Page, plates: str) -> None:
    page.go(plates, "screen.ome.zarr")
    page.wait(lambda: page.find("#plate[data-state=ready]"))


def focused(page: Page) -> str:
    return str(page.driver.execute_script("return document.activeElement.getAttribute('aria-label')"))


def thumbnail(page: Page, well: str) -> np.ndarray:
    data = page.driver.execute_script("return document.querySelector(arguments[0]).toDataURL()", f"#plate a[title='{well}'] canvas")
    return np.asarray(imagecodecs.png_decode(base64.b64decode(data.partition(",")[2])))[..., :3].astype(int)


def test_wells_stand_in_their_places_in_one_contrast(page: Page, plates: str, plate: Path) -> None:
    show(page, plates)
    assert [link.get_attribute("aria-label") for link in page.find("#plate a")] == [
        "Well A2, 2 fields",
        "Well A4",
        "Well C2, which cannot be shown",
    ]
    places = "return [...document.querySelectorAll('#plate a')].map(a => [a.closest('tr').rowIndex - 1, a.parentElement.cellIndex - 1])"
    assert page.driver.execute_script(places) == [[0, 1], [0, 3], [2, 1]]
    assert len(page.find("#plate td.empty")) == 9
    assert page.text("#plate p").startswith("3 of 3 ")
    fields = [plate / "A" / "2" / "0", plate / "A" / "4" / "0"]
    shown = [channels_of(field) for field in fields]
    for well, field in zip(("A2", "A4"), fields, strict=True):
        group: Any = zarr.open_group(field, mode="r")
        pixels, found = group["0"][:].astype(float), thumbnail(page, well)
        y, x = (np.floor((np.arange(n) + 0.5) / n * size).astype(int) for n, size in zip(found.shape, pixels.shape[1:], strict=False))
        light = np.zeros(found.shape)
        for c, alike in enumerate(zip(*shown, strict=True)):
            start, end = min(one.start for one in alike), max(one.end for one in alike)
            values = np.clip((pixels[c][np.ix_(y, x)] - start) / (end - start), 0, 1)
            light += values[..., None] * alike[0].color
        assert np.abs(found - np.minimum(light, 255)).max() <= 1
    page.console()  # the lost field is a 404


def test_by_keyboard_to_a_well_its_fields_and_back(page: Page, plates: str, plate: Path) -> None:
    show(page, plates)
    page.driver.execute_script("document.getElementById('skip').click()")
    assert focused(page) == "Well A2, 2 fields"
    for key, name in (
        ("right", "Well A4"),
        ("right", "Well A4"),
        ("left", "Well A2, 2 fields"),
        ("down", "Well C2, which cannot be shown"),
    ):
        page.driver.switch_to.active_element.send_keys(KEY[key])
        assert focused(page) == name
    assert len(page.find("#plate a[tabindex='0']")) == 1
    page.driver.switch_to.active_element.send_keys(KEY["up"], KEY["enter"])
    page.wait(lambda: page.stage["state"] == "ready")
    assert page.driver.title == "Screen 7 A2 field 1"
    page.expect(plate / "A" / "2" / "0", channels_of(plate / "A" / "2" / "0"), least=50)
    assert [link.get_attribute("aria-label") for link in page.find(".fields a")] == [
        "Back to plate Screen 7",
        "Field 1 of well A2",
        "Field 2 of well A2",
    ]
    page.driver.execute_script("document.getElementById('stage').dataset.state = 'left'")
    page.find(".fields a")[2].click()
    page.wait(lambda: page.stage["state"] == "ready")
    page.expect(plate / "A" / "2" / "1", channels_of(plate / "A" / "2" / "1"), least=50)
    page.find(".fields a")[0].click()
    page.wait(lambda: page.find("#plate[data-state=ready]"))
    assert focused(page) == "Well A2, 2 fields"
    page.console()


def test_axe_finds_nothing_on_a_plate_and_its_fields(page: Page, plates: str) -> None:
    if not AXE.exists() and not os.environ.get("BROWSER_TESTS"):
        pytest.skip("axe-core is not installed: make viewer")
    for dataset in ("screen.ome.zarr", "screen.ome.zarr/A/2"):
        page.go(plates, dataset)
        page.wait(lambda: page.find("#plate[data-state=ready]") or page.stage["state"] == "ready")
        page.driver.execute_script(AXE.read_text())
        found = page.driver.execute_async_script("axe.run().then(arguments[0])")
        assert json.dumps([(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]) == "[]"
    page.console()
