"""The viewer's picture in a real browser, at the widths of a laptop and of a phone.

Needs selenium, Chromium and its driver (Debian: chromium, chromium-driver), else it skips; where BROWSER_TESTS is set it fails instead.
SCREENSHOTS=FOLDER keeps what was seen.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if os.environ.get("BROWSER_TESTS"):
    import selenium  # noqa: F401
else:
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[browser]'")
from browsing import KEY, Channel, Page, channels_of
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

if TYPE_CHECKING:
    from collections.abc import Callable

BRIGHTFIELD, FLUORESCENCE = "brightfield.ome.zarr", "fluorescence.ome.zarr"


@pytest.mark.parametrize("name", [BRIGHTFIELD, FLUORESCENCE])
def test_the_samples_are_shown_in_their_colours(page: Page, address: str, output: Path, name: str) -> None:
    page.open(address, name)
    plane = () if name == BRIGHTFIELD else (4,)
    page.expect(output / name, channels_of(output / name), plane=plane)
    asked = page.requests()
    assert all(url.startswith(address) or url == "data:," for url in asked), asked
    if name == BRIGHTFIELD:
        assert not any(f"/{name}/0/c/" in url for url in asked), "the whole image does not need the largest level"


def test_each_channel_toggles(page: Page, address: str, output: Path) -> None:
    for name, plane in ((BRIGHTFIELD, ()), (FLUORESCENCE, (4,))):
        page.open(address, name)
        channels = channels_of(output / name)
        if name == BRIGHTFIELD:
            page.find(".heading input")[0].click()  # no longer as one picture
        boxes = page.find(".channel input[type=checkbox]")
        assert len(boxes) == len(channels)
        for index, box in enumerate(boxes):
            box.send_keys(KEY["space"])
            without = [replace(channel, on=channel.on and i != index) for i, channel in enumerate(channels)]
            page.expect(output / name, without, plane=plane, colors=4)
            box.send_keys(KEY["space"])
        page.expect(output / name, channels, plane=plane)


def test_zooming_loads_deeper_levels_and_shows_their_pixels(page: Page, address: str, output: Path) -> None:
    page.driver.get("about:blank")  # no chunk is kept from before
    page.open(address, BRIGHTFIELD)
    levels = [int(page.stage["level"])]
    page.requests()
    for _ in range(9):
        page.keys("#stage", "+")
        level = int(page.stage["level"])
        if level != levels[-1]:
            page.expect(output / BRIGHTFIELD, channels_of(output / BRIGHTFIELD))
            levels.append(level)
            assert any(f"/{BRIGHTFIELD}/{level}/c/" in url for url in page.requests())
            assert page.text("#level").startswith(f"Level {level} ")
    assert levels[-1] == 0
    assert len(levels) == levels[0] + 1
    page.expect(output / BRIGHTFIELD, channels_of(output / BRIGHTFIELD))


def test_arrows_move_and_0_shows_the_whole_image_again(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, BRIGHTFIELD)
    before = laptop.stage
    laptop.keys("#stage", "+", "+", "+", KEY["right"], KEY["right"], KEY["up"])
    moved = laptop.stage
    assert float(moved["x"]) > float(before["x"])
    assert float(moved["y"]) < float(before["y"])
    laptop.expect(output / BRIGHTFIELD, channels_of(output / BRIGHTFIELD))
    laptop.keys("#stage", "0")
    assert laptop.stage == before


def test_the_buttons_zoom(laptop: Page, address: str) -> None:
    laptop.open(address, BRIGHTFIELD)
    zoom = float(laptop.stage["zoom"])
    laptop.find("#in")[0].click()
    assert float(laptop.stage["zoom"]) == pytest.approx(zoom + 1)
    laptop.find("#out")[0].click()
    laptop.find("#out")[0].click()
    assert float(laptop.stage["zoom"]) == pytest.approx(zoom - 1)
    laptop.find("#fit")[0].click()
    assert float(laptop.stage["zoom"]) == pytest.approx(zoom)


def test_the_wheel_zooms_and_dragging_moves(laptop: Page, address: str) -> None:
    laptop.open(address, BRIGHTFIELD)
    before = laptop.stage
    (stage,) = laptop.find("#canvas canvas")
    ActionChains(laptop.driver).scroll_from_origin(ScrollOrigin.from_element(stage), 0, -300).perform()
    laptop.wait(lambda: float(laptop.stage["zoom"]) > float(before["zoom"]) + 0.5)
    ActionChains(laptop.driver, duration=50).move_to_element(stage).click_and_hold().move_by_offset(50, 25).move_by_offset(
        50, 25
    ).release().perform()
    laptop.wait(lambda: float(laptop.stage["x"]) < float(before["x"]) - 10)


def test_the_z_slider_shows_that_plane(page: Page, address: str, output: Path) -> None:
    page.open(address, FLUORESCENCE)
    assert page.find("#plane-t") == []
    assert page.text(".plane output") == "5 / 9 · 40.016 µm"
    page.requests()
    page.keys("#plane-z", KEY["right"], KEY["right"])
    assert page.text(".plane output").startswith("7 / 9")
    page.expect(output / FLUORESCENCE, channels_of(output / FLUORESCENCE), plane=(6,))
    assert any("/0/c/0/6/" in url for url in page.requests())
    page.open(address, BRIGHTFIELD)
    assert page.find(".plane") == []


def test_the_t_slider_shows_that_time_and_a_z_of_one_plane_has_none(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, "time.ome.zarr")
    assert laptop.find("#plane-z") == []
    channels = channels_of(output / "time.ome.zarr")
    laptop.expect(output / "time.ome.zarr", channels, plane=(0, 0))
    laptop.keys("#plane-t", KEY["right"])
    laptop.expect(output / "time.ome.zarr", channels, plane=(1, 0))


def test_contrast_and_colour_are_as_set_and_reset(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, FLUORESCENCE)
    dataset, (lamin, dapi) = output / FLUORESCENCE, channels_of(output / FLUORESCENCE)
    slider = '#controls [aria-label="Dapi: contrast from"]'
    laptop.keys(slider, *[KEY["right"]] * 3)
    laptop.expect(dataset, [lamin, replace(dapi, start=dapi.start + 3)], plane=(4,))
    laptop.driver.execute_script(
        "const set = (name, value, kind) => { const field = document.querySelector(`#controls [aria-label='${name}']`);"
        " field.value = value; field.dispatchEvent(new Event(kind)); };"
        "set('Dapi: contrast to, as a number', 700, 'change'); set('Colour of Dapi', '#ff8000', 'input');"
    )
    laptop.expect(dataset, [lamin, Channel((255, 128, 0), dapi.start + 3, 700)], plane=(4,))
    laptop.find("[aria-label='Reset Dapi: colour and contrast as stored']")[0].click()
    laptop.expect(dataset, [lamin, dapi], plane=(4,))


@pytest.mark.parametrize(("name", "colors"), [("v2.ome.zarr", 8), ("tiny.ome.zarr", 8), ("negative.ome.zarr", 8)])
def test_other_datasets_are_shown_in_their_colours(laptop: Page, address: str, output: Path, name: str, colors: int) -> None:
    laptop.open(address, name)
    laptop.expect(output / name, channels_of(output / name), colors=colors)


@pytest.mark.parametrize(("name", "side", "unit"), [("high.ome.zarr", 0.5, "µm"), ("low.ome.zarr", 1.0, "µm")])
def test_pixels_that_are_not_square_are_shown_in_their_form(
    laptop: Page, address: str, output: Path, name: str, side: float, unit: str
) -> None:
    laptop.open(address, name)
    for level, keys in ((0, ""), (1, "----")):
        laptop.keys("#stage", *keys)
        laptop.expect(output / name, channels_of(output / name))
        length, shown = laptop.text("#length").split()
        width = laptop.driver.execute_script("return document.getElementById('bar').getBoundingClientRect().width")
        assert (int(laptop.stage["level"]), shown) == (level, unit)
        assert width == pytest.approx(float(length) / side * 2 ** float(laptop.stage["zoom"]), abs=0.1)


def test_the_picture_ends_where_the_image_does(laptop: Page, address: str) -> None:
    """Not where its smallest level does, which is drawn below the others: 75 x 100 pixels of 2 x 2."""
    laptop.open(address, "uneven.ome.zarr")
    zoom, x, y = (float(laptop.stage[key]) for key in ("zoom", "x", "y"))
    box = laptop.driver.execute_script("return document.getElementById('canvas').getBoundingClientRect().toJSON()")
    column, row = int(box["left"] + box["width"] / 2), int(box["top"] + box["height"] / 2)
    right, bottom = int(column + (199 - x) * 2**zoom), int(row + (149 - y) * 2**zoom)
    shown = laptop.screenshot()
    background = shown[row, right + 12]
    for outside, inside in ((shown[row, right + 2], shown[row, right - 2]), (shown[bottom + 2, column], shown[bottom - 2, column])):
        assert (outside == background).all()
        assert (inside != background).any()


def test_sixteen_of_many_channels_are_shown_at_once(laptop: Page, address: str, output: Path) -> None:
    laptop.open(address, "many.ome.zarr")
    assert laptop.driver.execute_script("return document.documentElement.scrollHeight <= innerHeight")
    channels = channels_of(output / "many.ome.zarr")
    laptop.expect(output / "many.ome.zarr", channels, colors=4)
    boxes = laptop.find(".channel input[type=checkbox]")
    assert [box.is_selected() for box in boxes] == [True] * 10 + [False] * 8
    for box in boxes[10:]:
        box.send_keys(KEY["space"])
    assert [box.is_selected() for box in boxes] == [True] * 16 + [False] * 2
    assert "At most 16" in laptop.find(".note")[17].text
    laptop.expect(output / "many.ome.zarr", [replace(channel, on=i < 16) for i, channel in enumerate(channels)], colors=4)
    for box in boxes[1:16]:
        box.send_keys(KEY["space"])
    boxes[17].send_keys(KEY["space"])
    assert boxes[17].is_selected()
    only = [replace(channel, on=i in (0, 17)) for i, channel in enumerate(channels)]
    laptop.expect(output / "many.ome.zarr", only, colors=4)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("damaged.ome.zarr", "damaged.ome.zarr cannot be shown"),
        ("wide.ome.zarr", "complex64"),
        ("nothing.ome.zarr", "no dataset nothing.ome.zarr"),
    ],
)
def test_errors_are_said_in_the_page(any_page: Page, address: str, name: str, words: str) -> None:
    any_page.go(address, name)
    any_page.wait(lambda: any_page.stage["state"] == "error")
    assert words in any_page.error
    any_page.console()  # the browser itself notes the file that is absent
    any_page.driver.execute_script("location.hash = arguments[0]", f"data/{BRIGHTFIELD}")
    any_page.wait(lambda: any_page.stage["state"] == "ready")
    assert any_page.error == ""


def test_the_list_opens_datasets_and_says_which_is_open(laptop: Page, address: str) -> None:
    laptop.open(address, BRIGHTFIELD)
    assert laptop.text("#datasets [aria-current]") == BRIGHTFIELD
    (link,) = [link for link in laptop.find("#datasets a") if link.text == FLUORESCENCE]
    link.click()
    laptop.wait(lambda: laptop.stage["state"] == "ready" and laptop.stage["x"] == "135.5")
    assert laptop.text("#datasets [aria-current]") == FLUORESCENCE


def test_the_scale_bar_is_as_long_as_it_says(laptop: Page, address: str) -> None:
    laptop.open(address, BRIGHTFIELD)
    for _ in range(4):
        length, unit = laptop.text("#length").split()
        assert unit == "µm"
        pixels = float(length) / 0.499 * 2 ** float(laptop.stage["zoom"])
        width = laptop.driver.execute_script("return document.getElementById('bar').getBoundingClientRect().width")
        assert width == pytest.approx(pixels, abs=0.1)
        assert 40 < pixels < 120
        laptop.keys("#stage", "+", "+")
    laptop.open(address, "many.ome.zarr")
    assert laptop.text("#length").split()[1] == "px"


def test_everything_fits_and_can_be_reached_by_tab_with_a_name_and_a_visible_focus(page: Page, address: str) -> None:
    page.driver.get("about:blank")  # no place to start from is left
    page.open(address, FLUORESCENCE)
    run: Callable[[str], Any] = page.driver.execute_script
    assert run("return document.documentElement.scrollWidth <= innerWidth")
    boxes = run(
        "return [...document.querySelectorAll('#controls input, button, a, #level, .scale')].map(e => e.getBoundingClientRect().toJSON())"
    )
    assert all(box["left"] >= 0 and box["right"] <= page.width for box in boxes)
    reached: list[str] = []
    last = -1
    for _ in range(120):
        ActionChains(page.driver).send_keys(KEY["tab"]).perform()
        name, visible, place = run(
            "const e = document.activeElement; if (e === document.body) return [null, true, -1];"
            "const thumb = e.type === 'range' && e.closest('.range');"
            "const style = getComputedStyle(e, thumb ? '::-webkit-slider-thumb' : undefined);"
            "const name = e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent;"
            "const outlined = style.outlineStyle === 'solid' && parseFloat(style.outlineWidth) >= 2;"
            "return [name.trim(), thumb ? e.matches(':focus-visible') : outlined, [...document.querySelectorAll('*')].indexOf(e)]"
        )
        if name is None:
            break
        assert name, "a control without a name"
        assert visible, f"no visible focus on {name}"
        reached.append(name)
        assert place > last, f"{name} comes too late in the tab order"
        last = place
    wanted = ["Datasets", FLUORESCENCE, "Image fluorescence", "Zoom in", "Depth", "Dapi", "Colour of Dapi", "Dapi: contrast from"]
    for beginning in wanted:
        assert any(name.startswith(beginning) for name in reached), f"{beginning} is not reached: {reached}"
