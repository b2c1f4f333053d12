"""What is around the picture in a real browser: values, links, contrast, failures, tools, list, keys and what screen readers are told.

Needs what test_browser.py needs; axe-core too, which `npm ci` in viewer/ installs.
"""

import json
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import imagecodecs
import numpy as np
import pytest
import zarr

if os.environ.get("BROWSER_TESTS"):
    import selenium  # noqa: F401
else:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[browser]'")
from browsing import KEY, Page, channels_of
from opened import open_all
from pagedata import cells
from selenium.webdriver import ActionChains

from omezarr_proc.viewer.serving import ViewerServer

BRIGHTFIELD, FLUORESCENCE, V2 = "brightfield.ome.zarr", "fluorescence.ome.zarr", "v2.ome.zarr"
SAMPLES = Path(__file__).parents[2] / "data" / "input"
AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"


def middle_of(page: Page) -> list[float]:
    box = page.driver.execute_script(
        "const b = document.getElementById('canvas').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    return [box[0] + box[2] / 2, box[1] + box[3] / 2]


def screen(page: Page, x: float, y: float) -> list[int]:
    """Where a place of the image, in pixels of level 0, is on the screen."""
    zoom = 2 ** float(page.stage["zoom"])
    return [int(at + (place - float(page.stage[axis])) * zoom) for at, place, axis in zip(middle_of(page), (x, y), "xy", strict=True)]


def pointer(page: Page, x: float, y: float, *, click: bool = False) -> None:
    """Move the mouse to a place of the image."""
    kinds = ("mouseMoved", "mousePressed", "mouseReleased") if click else ("mouseMoved",)
    px, py = screen(page, x, y)
    for kind in kinds:
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": kind, "x": px, "y": py, **button})


def button(page: Page, label: str) -> Any:
    (found,) = page.find(f"[aria-label='{label}']")
    return found


class Gate:
    """A server whose chunks come when it is opened."""

    def __init__(self, folder: Path, name: str = "") -> None:
        self.open = threading.Event()
        gate, self.served = self, list[str]()

        class Server(ViewerServer):
            def locate(self, path: str) -> Path | None:
                gate.served.append(path)
                if "/c/" in path:
                    gate.open.wait(60)
                return super().locate(path)

        self.server = Server(folder, name=name)
        self.thread = threading.Thread(target=self.server.serve_forever)

    def __enter__(self) -> "Gate":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_the_value_under_the_pointer_is_that_of_the_file(page: Page, address: str) -> None:
    page.open(address, V2)
    page.keys("#stage", "0", "+")
    page.wait(lambda: page.stage["state"] == "ready")
    zoomed = int(page.stage["level"])
    for x, y in ((57, 33), (120, 90)):
        pointer(page, x + 0.5, y + 0.5)
        said = page.text("#value")
        assert f"x {x}, y {y}" in said
        if not zoomed:
            for name, value in (("C0", x), ("C1", y), ("C2", x * y % 251)):
                assert f"{name} {value}" in said.replace("\n", " ")


def test_the_value_in_the_middle_is_told_to_who_uses_keys_with_lengths(laptop: Page, address: str) -> None:
    laptop.open(address, BRIGHTFIELD)
    laptop.keys("#stage", "+")
    said = laptop.text("#value").replace("\n", " ")
    assert "x 1110, y 1483" in said
    assert "553.89 µm, 740.02 µm" in said
    assert laptop.find("#cross")[0].is_displayed()


def says_what_is_shown(url: str, stage: dict[str, str]) -> bool:
    """Whether the address has followed, with the place and with the channels."""
    said = parse_qs(url.partition("?")[2])
    return "c" in said and all(name in said and abs(float(said[name][0]) - float(stage[name])) < 0.01 for name in ("x", "y", "zoom"))


def test_a_link_shows_the_same_to_who_opens_it(page: Page, address: str, output: Path) -> None:
    page.open(address, FLUORESCENCE)
    page.keys("#plane-z", KEY["right"])
    page.keys('[aria-label="Dapi: contrast from"]', *[KEY["right"]] * 3)
    page.find(".channel input[type=checkbox]")[0].send_keys(KEY["space"])
    page.keys("#stage", "+", "+", KEY["left"])
    page.wait(lambda: says_what_is_shown(page.driver.current_url, page.stage))
    link, state = page.driver.current_url, page.stage
    lamin, dapi = channels_of(output / FLUORESCENCE)
    shown = [replace(lamin, on=False), replace(dapi, start=dapi.start + 3)]
    for _ in ("opened", "loaded again"):
        page.driver.get("about:blank")
        page.driver.get(link)
        page.wait(lambda: page.stage.get("state") == "ready")
        for key in ("x", "y", "zoom"):
            assert float(page.stage[key]) == pytest.approx(float(state[key]), abs=0.01)
        page.expect(output / FLUORESCENCE, shown, plane=(5,), colors=4)


def test_a_link_that_says_nonsense_shows_the_image(laptop: Page, address: str, output: Path) -> None:
    laptop.driver.get("about:blank")
    laptop.driver.get(f"{address}#data/{FLUORESCENCE}?x=1e999&zoom=a&at.z=99&section=zz&c=7_00ff00_9_1*1_zzzzzz_5_5&labels=none&max=2")
    laptop.wait(lambda: laptop.stage.get("state") == "ready")
    lamin, dapi = channels_of(output / FLUORESCENCE)
    laptop.expect(output / FLUORESCENCE, [replace(lamin, on=False), dapi], plane=(4,), colors=4)


def test_auto_is_the_contrast_of_what_is_in_view(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, V2)
    laptop.find(".heading button")[0].click()
    laptop.wait(lambda: laptop.find('[aria-label="C0: contrast to, as a number"]')[0].get_attribute("value") != "200")
    low, high = (float(laptop.find(f'[aria-label="C0: contrast {end}, as a number"]')[0].get_attribute("value")) for end in ("from", "to"))
    assert (low, high) == (pytest.approx(0, abs=2), pytest.approx(199, abs=2))
    channels = channels_of(output / V2)
    laptop.keys("#stage", *"++++++")
    laptop.keys("#stage", "a")
    # x from 85 to 115 or so
    part = [float(laptop.find(f'[aria-label="C0: contrast {end}, as a number"]')[0].get_attribute("value")) for end in ("from", "to")]
    assert 80 < part[0] < 100 < part[1] < 120
    for label in ("C0", "C1", "C2"):
        button(laptop, f"Reset {label}: colour and contrast as stored").click()
    laptop.keys("#stage", "0")
    laptop.expect(output / V2, channels)


def test_a_histogram_is_behind_each_slider(page: Page, address: str) -> None:
    page.open(address, V2)
    paths = "return [...document.querySelectorAll('.range path')].map(e => e.getAttribute('d') ?? '')"

    def is_even() -> bool:  # x is, from 0 to 199; until this image is counted the histogram is another's
        heights = [float(part.split("H")[0]) for part in page.driver.execute_script(paths)[0].split("V")[1:-1]]
        return len(heights) > 55 and max(heights[5:55]) - min(heights[5:55]) < 0.2

    page.wait(is_even)
    assert all(len(path) > 200 for path in page.driver.execute_script(paths))


def test_small_numbers_are_not_cut_off(laptop: Page, address: str) -> None:
    laptop.open(address, "tiny.ome.zarr")
    field = laptop.find('[aria-label="C0: contrast to, as a number"]')[0]
    assert float(field.get_attribute("value")) == 2e-5
    laptop.driver.execute_script("arguments[0].value = '0.000012345678'; arguments[0].dispatchEvent(new Event('change'))", field)
    assert float(field.get_attribute("value")) == 0.000012345678
    assert laptop.driver.execute_script("return arguments[0].scrollWidth <= arguments[0].clientWidth + 1", field)


def test_what_is_on_its_way_is_said_and_given_up_where_nobody_wants_it(laptop: Page, output: Path) -> None:
    with Gate(output / BRIGHTFIELD, BRIGHTFIELD) as gate:
        laptop.go(gate.server.url, BRIGHTFIELD)
        laptop.wait(lambda: laptop.text("#loading").startswith("Loading 0 of"))
        assert laptop.stage["state"] == "loading"
        laptop.requests()
        laptop.keys("#stage", *"++++++")
        gate.open.set()
        laptop.wait(lambda: laptop.stage["state"] == "ready")
        assert not laptop.find("#loading")[0].is_displayed()
        said = [json.loads(line["message"])["message"] for line in laptop.driver.get_log("performance")]
        assert any(event["method"] == "Network.loadingFailed" and event["params"]["canceled"] for event in said)


def test_what_cannot_be_loaded_is_said_and_asked_for_again(any_page: Page, address: str, output: Path) -> None:
    chunk = output / "time.ome.zarr" / "0" / "c" / "0" / "0" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:50])
    try:
        any_page.open(address, "time.ome.zarr")
        any_page.wait(lambda: any_page.find("#failed")[0].is_displayed())
        assert "tiles could not be loaded" in any_page.text("#failed")
        assert "damaged" in any_page.text("#failed")
    finally:
        chunk.write_bytes(whole)
    any_page.find("#again")[0].click()
    any_page.wait(lambda: not any_page.find("#failed")[0].is_displayed())
    any_page.expect(output / "time.ome.zarr", channels_of(output / "time.ome.zarr"), plane=(0, 0))


def test_a_picture_in_colours_has_one_brightness(page: Page, address: str, output: Path) -> None:
    page.open(address, BRIGHTFIELD)
    assert len(page.find(".channel")) == 1
    channels = channels_of(output / BRIGHTFIELD)
    page.driver.execute_script(
        "const field = document.querySelector(`[aria-label='Brightness: contrast to, as a number']`);"
        "field.value = 180; field.dispatchEvent(new Event('change'))"
    )
    page.expect(output / BRIGHTFIELD, [replace(channel, end=180) for channel in channels])
    button(page, "Reset Brightness: contrast as stored").click()
    page.expect(output / BRIGHTFIELD, channels)


def test_keys_switch_channels_and_show_pixels_as_they_are(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, FLUORESCENCE)
    laptop.keys("#stage", "1")
    shown = [replace(one, on=n != 0) for n, one in enumerate(channels_of(output / FLUORESCENCE))]
    laptop.expect(output / FLUORESCENCE, shown, plane=(4,), colors=4)
    laptop.keys("#stage", "1", "o")
    laptop.wait(lambda: laptop.stage["zoom"] == "0")
    laptop.keys("#stage", "0")
    laptop.expect(output / FLUORESCENCE, channels_of(output / FLUORESCENCE), plane=(4,))


def test_all_channels_are_reset_at_once(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, "time.ome.zarr")
    laptop.driver.execute_script(
        "for (const number of document.querySelectorAll('.numbers input:last-child'))"
        "  Object.assign(number, { value: 50 }).dispatchEvent(new Event('change'))"
    )
    channels = channels_of(output / "time.ome.zarr")
    laptop.expect(output / "time.ome.zarr", [replace(one, end=50) for one in channels], plane=(0, 0), colors=4)
    (reset,) = [button for button in laptop.find(".heading button") if button.text == "Reset all"]
    reset.click()
    laptop.expect(output / "time.ome.zarr", channels, plane=(0, 0))


def test_one_channel_alone_and_back(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, FLUORESCENCE)
    lamin, dapi = channels_of(output / FLUORESCENCE)
    solo = button(laptop, "Solo Dapi: alone, or again with the others")
    solo.click()
    assert solo.get_attribute("aria-pressed") == "true"
    laptop.expect(output / FLUORESCENCE, [replace(lamin, on=False), dapi], plane=(4,), colors=4)
    solo.click()
    laptop.expect(output / FLUORESCENCE, [lamin, dapi], plane=(4,))


def test_the_info_says_what_the_image_is(page: Page, address: str) -> None:
    page.open(address, FLUORESCENCE)
    page.find("#about summary")[0].click()
    said = page.text("#info")
    for words in ("x 271, y 275, z 9, c 2", "uint16", "Zarr v3, NGFF 0.5", "blosc zstd", "omezarr_proc", "360.4 nm"):
        assert words in said
    assert page.driver.execute_script("return document.documentElement.scrollWidth <= innerWidth")


def test_the_list_is_filtered_has_thumbnails_and_can_be_skipped(page: Page, address: str) -> None:
    page.driver.get("about:blank")
    page.open(address, BRIGHTFIELD)
    page.wait(lambda: page.driver.execute_script("return document.querySelectorAll('.thumb > canvas').length") >= 2)
    page.keys("#filter", "v2-", "z")
    assert [link.text for link in page.find("#datasets a")] == ["v2-zlib.ome.zarr", "v2-zstd.ome.zarr"]
    assert [heading.text for heading in page.find("#datasets .folder")] == ["codecs"]
    assert page.text("#count").startswith("2 of ")
    page.driver.execute_script(
        "document.getElementById('filter').value = ''; document.getElementById('filter').dispatchEvent(new Event('input'))"
    )
    page.driver.get("about:blank")
    page.open(address, BRIGHTFIELD)
    ActionChains(page.driver).send_keys(KEY["tab"], KEY["enter"]).perform()
    assert page.driver.execute_script("return document.activeElement.id") == "stage"


def test_the_picture_is_saved_with_and_without_the_scale_bar(laptop: Page, address: str, tmp_path: Path) -> None:
    laptop.open(address, BRIGHTFIELD)
    laptop.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    pictures = []
    for box in (False, True):
        if not box or not laptop.find("#with-bar")[0].is_selected():
            laptop.find("#with-bar")[0].send_keys(KEY["space"])
        laptop.find("#save")[0].click()
        laptop.wait(lambda: (tmp_path / "brightfield.png").exists())  # Chromium gives a file its name when it is whole
        pictures.append(np.asarray(imagecodecs.png_decode((tmp_path / "brightfield.png").read_bytes()))[..., :3].astype(int))
        (tmp_path / "brightfield.png").unlink()
    without, with_bar = pictures
    shown = laptop.screenshot()[:, 320:]
    assert without.shape == shown.shape
    assert (np.abs(without[200:600, 300:600] - shown[200:600, 300:600]) <= 1).all()
    different = np.argwhere((without != with_bar).any(axis=2))
    assert len(different) > 200
    assert different[:, 0].min() > 700
    assert different[:, 1].max() < 300


def test_the_overview_shows_where_the_stage_is_and_moves_it(page: Page, address: str) -> None:
    page.open(address, BRIGHTFIELD)
    assert not page.find("#overview")[0].is_displayed()
    page.keys("#stage", *"++++")
    (map_,) = page.find("#overview")
    page.wait(map_.is_displayed)
    page.wait(lambda: page.find("#overview canvas"))
    box = map_.rect
    page.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", map_)
    ActionChains(page.driver).move_to_element_with_offset(map_, int(-0.25 * box["width"]), int(0.25 * box["height"])).click().perform()
    assert float(page.stage["x"]) == pytest.approx(2220 / 4, rel=0.15)
    assert float(page.stage["y"]) == pytest.approx(2967 * 3 / 4, rel=0.1)


def test_keys_choose_planes_and_play(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, FLUORESCENCE)
    laptop.keys("#stage", ".", ".", ",")
    laptop.wait(lambda: laptop.text(".plane output").startswith("6 / 9"))
    laptop.expect(output / FLUORESCENCE, channels_of(output / FLUORESCENCE), plane=(5,))
    laptop.keys("#stage", KEY["space"])
    assert laptop.text(".play") != "▶"
    laptop.wait(lambda: laptop.text(".plane output").startswith("2 / 9"))  # over the end
    laptop.keys("#stage", KEY["space"])
    assert laptop.text(".play") == "▶"
    laptop.open(address, "time.ome.zarr")
    laptop.wait(lambda: " / 3" in laptop.text(".plane output"))  # not the dataset before any more
    laptop.keys("#stage", "]", "]", "[")
    laptop.wait(lambda: laptop.text(".plane output").startswith("2 / 3"))


def test_full_screen_and_back(laptop: Page, address: str) -> None:
    laptop.open(address, FLUORESCENCE)
    full = "return document.fullscreenElement?.id ?? null"
    laptop.find("#full")[0].click()
    laptop.wait(lambda: laptop.driver.execute_script(full) == "stage")
    laptop.keys("#stage", "f")
    laptop.wait(lambda: laptop.driver.execute_script(full) is None)


def test_the_ruler_measures_lengths_and_areas(page: Page, address: str) -> None:
    page.open(address, BRIGHTFIELD)
    page.driver.execute_script("scrollTo(0, 0)")
    page.find("#measure")[0].click()
    zoom = 2 ** float(page.stage["zoom"])
    for x, y in ((500, 600), (1500, 600)):
        pointer(page, x, y, click=True)
    length, unit = page.text("#measured").split()[1:3]
    assert unit == "µm"
    assert float(length) == pytest.approx(1000 * 0.499, abs=2 * 0.499 / zoom)
    pointer(page, 1500, 1800, click=True)
    said = page.text("#measured").split()
    area, unit = said[said.index("Area") + 1 :]
    assert unit in ("µm²", "mm²")
    assert float(area) * (1e6 if unit == "mm²" else 1) == pytest.approx(1000 * 1200 / 2 * 0.499**2, rel=0.02)
    page.find("#measure")[0].click()
    assert not page.find("#measured")[0].is_displayed()
    page.keys("#stage", "r", KEY["enter"], KEY["right"], KEY["enter"])
    width = page.driver.execute_script("return document.getElementById('canvas').clientWidth")
    assert float(page.text("#measured").split()[1]) == pytest.approx(0.1 * width / zoom * 0.499, rel=0.02)
    page.keys("#stage", "r")


def test_labels_have_colours_of_their_own_and_none_where_they_are_0(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, "masks.ome.zarr")
    channels = channels_of(output / "masks.ome.zarr")
    laptop.expect(output / "masks.ome.zarr", channels)
    before = laptop.screenshot()
    laptop.find(".labels input")[0].click()
    laptop.wait(lambda: (laptop.screenshot() != before).any(axis=2).sum() > 5000)
    laptop.wait(lambda: laptop.stage["state"] == "ready")
    after = laptop.screenshot()
    seen: dict[int, np.ndarray] = {}
    for row in range(1, 5):
        for column in range(1, 7):
            x, y = screen(laptop, column * 25 + 12.5, row * 25 + 12.5)
            label = cells()[row * 25 + 12, column * 25 + 12]
            if label:
                seen[int(label)] = (after[y, x] - 0.4 * before[y, x]) / 0.6
            else:
                assert (after[y, x] == before[y, x]).all()
    colors = np.array(list(seen.values()))
    apart = np.abs(colors[:, None] - colors[None]).sum(axis=2) + 1000 * np.eye(len(colors))
    assert len(colors) == 12
    assert apart.min() > 20
    pointer(laptop, 4 * 25 + 12, 2 * 25 + 12)
    assert f"cells {cells()[62, 112]}" in laptop.text("#value").replace("\n", " ")


@pytest.mark.parametrize(("way", "oracle"), [("Maximum", "max"), ("Front (xz)", "xz"), ("Side (yz)", "yz")])
def test_sections_and_the_maximum_of_a_volume(page: Page, address: str, output: Path, way: str, oracle: str) -> None:
    page.open(address, "volume.ome.zarr")
    (option,) = [label for label in page.find(".sections label") if label.text == way]
    option.click()
    page.wait(lambda: page.stage["state"] == "ready")
    page.driver.execute_script("scrollTo(0, 0)")
    page.expect(output / f"volume-{oracle}.ome.zarr", channels_of(output / "volume.ome.zarr"), colors=4)


def test_the_z_slider_reads_each_chunk_once(laptop: Page, output: Path) -> None:
    dataset = output / "volume.ome.zarr"
    channels = channels_of(dataset)
    with Gate(dataset, dataset.name) as gate:  # alone: a thumbnail shows another plane
        gate.open.set()
        laptop.open(gate.server.url, dataset.name)
        before = [path for path in gate.served if "/c/" in path]
        laptop.keys("#plane-z", *[KEY["right"]] * 15)
        laptop.expect(dataset, channels, plane=(15,), colors=4)
        assert [path for path in gate.served if "/c/" in path] == before
        laptop.keys("#plane-z", KEY["right"])
        laptop.expect(dataset, channels, plane=(16,), colors=4)
        asked = [path for path in gate.served if "/c/" in path]
        assert len(asked) > len(before)
        assert len(set(asked)) == len(asked)


def test_every_codec_and_version(laptop: Page, address: str, output: Path) -> None:
    names = sorted(path.name for path in (output / "codecs").iterdir())
    assert len(names) > 20
    for name in names:
        laptop.open(address, f"codecs/{name}")
        plane = (0, 0) if "ngff-0.1" in name or "ngff-0.2" in name or "ngff-0.3" in name else ()
        laptop.expect(output / "codecs" / name, channels_of(output / "codecs" / name), plane=plane)


def sharded(dataset: Path, target: Path) -> None:
    """The same pixels and metadata in shards of 8 x 8 chunks, the smallest level in none."""
    source: Any = zarr.open_group(dataset, mode="r")
    group = zarr.open_group(target, mode="w", zarr_format=3, attributes=dict(source.attrs))
    paths = sorted(path.name for path in dataset.iterdir() if path.name.isdigit())
    for path in paths:
        array = source[path]
        shards = None if path == paths[-1] else (*array.chunks[:-2], 8 * array.chunks[-2], 8 * array.chunks[-1])
        how = {"chunks": array.chunks, "shards": shards, "compressors": array.compressors}
        group.create_array(path, shape=array.shape, dtype=array.dtype, **how)[...] = array[...]


@pytest.mark.parametrize(("in_shards", "most"), [(False, 22), (True, 26)], ids=["chunks", "shards"])
def test_each_byte_is_asked_for_once_at_first_and_after_moves(
    laptop: Page, output: Path, tmp_path: Path, in_shards: bool, most: int
) -> None:
    """Vizarr takes 22 requests and 0.64 MB for the first view of this image, 26 where it is in shards."""
    dataset = output / BRIGHTFIELD
    if in_shards:
        dataset = tmp_path / BRIGHTFIELD
        sharded(output / BRIGHTFIELD, dataset)
    with Gate(dataset, BRIGHTFIELD) as gate:
        gate.open.set()
        laptop.driver.get("about:blank")
        laptop.requests()
        laptop.open(gate.server.url, BRIGHTFIELD)
        asked = [one for one in answers(laptop) if one[0].startswith(gate.server.url)]
        data = [one for one in asked if "/data/" in one[0]]
        assert len(asked) <= most
        assert sum(length for *_, length in data) <= 640_000
        laptop.keys("#stage", "+", "+", KEY["right"], "0")
        laptop.wait(lambda: laptop.stage["state"] == "ready")
        data += [one for one in answers(laptop) if "/data/" in one[0]]
        assert len({(url, range_) for url, range_, _ in data}) == len(data)
        laptop.expect(dataset, channels_of(dataset))


def test_levels_that_a_zoom_only_passes_are_not_asked_for(laptop: Page, output: Path) -> None:
    with Gate(output / BRIGHTFIELD, BRIGHTFIELD) as gate:
        gate.open.set()
        laptop.open(gate.server.url, BRIGHTFIELD)
        first = int(laptop.stage["level"])
        before = len(gate.served)
        laptop.driver.execute_script(
            "for (let n = 0; n < 5; n++) stage.dispatchEvent(new KeyboardEvent('keydown', { key: '+', bubbles: true }))"
        )
        laptop.expect(output / BRIGHTFIELD, channels_of(output / BRIGHTFIELD))
        last = int(laptop.stage["level"])
        assert first - last >= 2
        assert {path.split("/")[3] for path in gate.served[before:] if "/c/" in path} == {str(last)}


def answers(page: Page) -> list[tuple[str, str, int]]:
    """Address, range asked for and bytes of the body of each answer since the last call."""
    said = [json.loads(line["message"])["message"] for line in page.driver.get_log("performance")]
    asked = {e["params"]["requestId"]: e["params"]["request"] for e in said if e["method"] == "Network.requestWillBeSent"}
    parts = [(e["params"]["requestId"], e["params"]["dataLength"]) for e in said if e["method"] == "Network.dataReceived"]
    return [
        (request["url"], request["headers"].get("Range", ""), sum(length for whose, length in parts if whose == id_))
        for id_, request in asked.items()
    ]


def test_the_theme_is_the_systems(page: Page, address: str) -> None:
    page.open(address, FLUORESCENCE)
    brightness = {}
    for theme in ("light", "dark"):
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        color = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        brightness[theme] = sum(int(part) for part in color.strip("rgb()").split(","))
    assert brightness["light"] > 700
    assert brightness["dark"] < 120


@pytest.fixture
def axe() -> str:
    if not AXE.exists() and not os.environ.get("BROWSER_TESTS"):
        pytest.skip("axe-core is not installed: make viewer")
    return AXE.read_text()


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest, any_page: Page) -> Iterator[str]:
    any_page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": request.param}]})
    yield request.param
    any_page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_axe_finds_nothing(page: Page, address: str, axe: str, theme: str) -> None:
    for name in ("masks.ome.zarr", "volume.ome.zarr", BRIGHTFIELD):
        page.open(address, name)
        page.keys("#stage", "+", "r")
        page.driver.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
        page.driver.execute_script(axe)
        found = page.driver.execute_async_script(
            "const done = arguments[0];"
            "axe.run().then(r => done(r.violations.map(v => [v.id, v.nodes.map(n => n.html + ' ' + n.failureSummary)])))"
        )
        assert found == [], (theme, name)
        page.keys("#stage", "r")


def test_a_tiff_shows_what_its_dataset_shows(laptop: Page, output: Path) -> None:
    made = open_all(SAMPLES / "fluorescence.ome.tiff")
    stated = json.loads(made["fluorescence.ome.tiff"].get("zarr.json"))["attributes"]["ome"]["omero"]["channels"]
    windows = [(channel["window"]["start"], channel["window"]["end"]) for channel in stated]
    dataset = output / FLUORESCENCE
    with ViewerServer(None, live=made) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        laptop.open(server.url, "fluorescence.ome.tiff")
        shown = [replace(one, start=start, end=end) for one, (start, end) in zip(channels_of(dataset), windows, strict=True)]
        laptop.expect(dataset, shown, plane=(zarr.open_array(dataset / "0", mode="r").shape[1] // 2,))
        server.shutdown()
        thread.join()


def test_the_ruler_without_units_counts_pixels(laptop: Page, address: str) -> None:
    laptop.open(address, V2)
    laptop.keys("#stage", "r")
    for x, y in ((30, 40), (60, 80)):
        pointer(laptop, x, y, click=True)
    length, unit = laptop.text("#measured").split()[1:3]
    assert unit == "px"
    assert float(length) == pytest.approx(math.hypot(30, 40), abs=1)
    laptop.keys("#stage", "r")
