"""The page of `view` beside Vizarr: requests and bytes of the same views in one browser, and frames a second while the page is panned.

python -m tests.benchmarks.viewers --vizarr DIST [--scratch DIR]: DIST is a build of Vizarr (github.com/hms-dbmi/vizarr: pnpm install,
npx vite build), without it the page is measured alone. Needs chromium, chromedriver and selenium.

Views of 960 x 800 pixels: as each viewer opens the image; then 4 times as close, and half a view to the right, in the same few steps and
at the same places of the image in both. What the server gives out of the dataset is counted, answers of 404 too. Both are dragged past
full resolution by the same mouse, and the frames are counted that the browser asks for; so are those of a page that clears a canvas.
"""

import argparse
import json
import math
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from browsing import Page

from omezarr_proc import cli
from omezarr_proc.viewer.answers import Handler
from omezarr_proc.viewer.serving import ViewerServer
from tests.benchmarks.inputs import CASES, make

SAMPLES = Path(__file__).parents[2] / "data" / "input"
WIDTH, HEIGHT, LIST = 960, 800, 320  # pixels; LIST beside the image in the page alone
VIEWS = ("first", "4 x closer", "half a view on")
HOST = """<!doctype html><style>html, body, #view { margin: 0; width: 100%; height: 100%; position: relative }</style><div id="view"></div>
<script type="module">
  import { createViewer } from "./index.js";
  window.viewer = await createViewer(document.getElementById("view"), { menuOpen: false });
  viewer.addImage({ source: new URL(new URLSearchParams(location.search).get("source"), location.origin).href });
</script>"""
EMPTY = """data:text/html,<canvas id=c width=960 height=800></canvas><script>
  const gl = c.getContext("webgl2"); let n = 0;
  const draw = () => { gl.clearColor((n++ % 9) / 9, 0, 0, 1); gl.clear(gl.COLOR_BUFFER_BIT); requestAnimationFrame(draw); };
  draw();
</script>"""
FRAMES = "window.frames = []; const tick = (now) => { frames.push(now); requestAnimationFrame(tick); }; requestAnimationFrame(tick)"
STEP = 80  # milliseconds between two steps of a zoom or a pan, of who turns a wheel or holds a key
KEYS = """
const [keys, step, done] = arguments, places = [], stage = document.getElementById("stage");
const next = () => {
  if (places.length < keys.length) stage.dispatchEvent(new KeyboardEvent("keydown", { key: keys[places.length], bubbles: true }));
  else return done(places);
  places.push({ zoom: Number(stage.dataset.zoom), x: Number(stage.dataset.x), y: Number(stage.dataset.y) });
  setTimeout(next, step);
};
const opened = () => (stage.dataset.state === "ready" ? next() : setTimeout(opened, 50));
opened();
"""
STEPS = """
const [views, step, done] = arguments;
const next = () => {
  if (!views.length) return done();
  const [zoom, x, y] = views.shift();
  viewer.setViewState({ zoom, target: [x, y] });
  setTimeout(next, step);
};
next();
"""


Count = tuple[int, int, int]  # requests, bytes, absent files
Place = dict[str, float]  # zoom, and x and y in pixels of level 0


class Counting(ViewerServer):
    """Counts what it gives out of the dataset; Vizarr is at /vizarr/."""

    def __init__(self, dataset: Path, vizarr: Path | None) -> None:
        self.vizarr, self.calls, self.bytes, self.absent = vizarr, 0, 0, 0
        super().__init__(dataset, name=dataset.name)
        self.RequestHandlerClass = _Handler  # type: ignore[assignment]

    def taken(self) -> Count:
        """Requests, bytes and absent files since the last call."""
        said = self.calls, self.bytes, self.absent
        self.calls = self.bytes = self.absent = 0
        return said


class _Handler(Handler):
    server: Counting

    def do_GET(self) -> None:  # noqa: N802
        path = self.path.partition("?")[0]
        if not path.startswith("/vizarr/"):
            self.server.calls += path.startswith("/data/")
            return super().do_GET()
        name = path.removeprefix("/vizarr/")
        body = HOST.encode() if not name else (self.server.vizarr / name).read_bytes()  # type: ignore[operator]
        kind = {"js": "text/javascript", "": "text/html", "wasm": "application/wasm"}.get(name.rpartition(".")[2], "text/plain")
        return self._answer(200, {"Content-Type": kind}, body)  # type: ignore[arg-type]

    def _answer(self, status: Any, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        if self.path.startswith("/data/"):
            self.server.absent += status == 404
            self.server.bytes += int((headers or {}).get("Content-Length", "0")) if self.command == "GET" else 0
        super()._answer(status, headers, body)


@contextmanager
def serving_of(dataset: Path, vizarr: Path | None) -> Iterator[Counting]:
    """The server of one dataset."""
    with Counting(dataset, vizarr) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def quiet(server: Counting, window: float = 2.0) -> None:
    """Wait until nothing has been asked for, for so many seconds."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < window:
        if server.calls != before:
            before, since = server.calls, time.monotonic()
        time.sleep(0.05)


def of_page(page: Page, server: Counting, dataset: Path) -> tuple[list[Count], list[list[Place]]]:
    """Counts of the views in the page, and the steps to the later ones."""
    page.driver.get(f"{server.url}#data/{dataset.name}")
    counts, ways = [], []
    for keys in ([], ["+"] * 4, ["ArrowRight"] * 5):
        ways.append(page.driver.execute_async_script(KEYS, keys, STEP))
        page.wait(lambda: page.stage["state"] == "ready")
        quiet(server)
        counts.append(server.taken())
    return counts, ways[1:]


def of_vizarr(page: Page, server: Counting, dataset: Path, ways: list[list[Place]]) -> list[Count]:
    """The same in Vizarr, whose unit is that of the dataset's scales."""
    page.driver.get(f"{server.url}vizarr/?source=/data/{dataset.name}")
    quiet(server)
    counts = [server.taken()]
    for way in ways:
        page.driver.execute_async_script(STEPS, [view_of(dataset, place) for place in way], STEP)
        quiet(server)
        counts.append(server.taken())
    if said := page.driver.execute_script("return /Error:[^\\n]*/.exec(document.body.innerText)?.[0]"):
        print(f"  Vizarr says: {said}")
    return counts


def view_of(dataset: Path, place: Place) -> list[float]:
    """A place as Vizarr has it: zoom, and where in physical units."""
    stated = json.loads((dataset / "zarr.json").read_text())["attributes"]["ome"]["multiscales"][0]["datasets"][0]
    y, x = stated["coordinateTransformations"][0]["scale"][-2:]
    return [place["zoom"] - math.log2(min(x, y)), place["x"] * x, place["y"] * x]


def dragged(page: Page, left: int) -> str:
    """Frames while a mouse drags the picture to and fro for some seconds; `left`: where it begins on the screen."""

    def mouse(kind: str, x: int, buttons: int) -> None:
        event = {"type": kind, "x": left + x, "y": HEIGHT // 2, "button": "left", "buttons": buttons, "clickCount": 1}
        page.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    page.driver.execute_script(FRAMES)
    end = time.monotonic() + 5
    mouse("mousePressed", WIDTH - 100, 1)
    x, way = WIDTH - 100, -8
    while time.monotonic() < end:
        way = -way if not 100 < x + way < WIDTH - 50 else way
        x += way
        mouse("mouseMoved", x, 1)
    mouse("mouseReleased", x, 0)
    shown = page.driver.execute_script("return frames")
    gaps = [later - earlier for earlier, later in pairwise(shown)]
    return f"{1000 / statistics.mean(gaps):.0f} frames a second, longest {max(gaps):.0f} ms"


def pan(page: Page, server: Counting, dataset: Path) -> None:
    """Print frames a second at full resolution, of an empty canvas, Vizarr and the page."""
    place = {"zoom": 0.0, "x": 1500.0, "y": 1500.0}
    resize(page, WIDTH)
    page.driver.get(EMPTY)
    print(f"  panned: empty canvas {dragged(page, 0)}")
    if server.vizarr:
        page.driver.get(f"{server.url}vizarr/?source=/data/{dataset.name}")
        quiet(server)
        page.driver.execute_async_script(STEPS, [view_of(dataset, place)], STEP)
        quiet(server)
        print(f"  panned: Vizarr {dragged(page, 0)}")
    resize(page, LIST + WIDTH)
    page.driver.get(f"{server.url}#data/{dataset.name}?x=1500&y=1500&zoom=0")
    page.wait(lambda: page.stage["state"] == "ready")
    print(f"  panned: page {dragged(page, LIST)}")


def main(words: list[str]) -> None:
    """Measure, and print a table for docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vizarr", type=Path)
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/omezarr-proc-viewers"))
    chosen = parser.parse_args(words)
    inputs = {
        "brightfield (RGB)": SAMPLES / "brightfield.ome.tiff",
        "fluorescence": SAMPLES / "fluorescence.ome.tiff",
        "A, 4096 x 4096": make(CASES["A"], 0.25, chosen.scratch),
    }
    page = Page(str(shutil.which("chromium")), str(shutil.which("chromedriver")), LIST + WIDTH, HEIGHT)
    for sharding in ("off", "on"):
        for what, source in inputs.items():
            folder = chosen.scratch / f"shards-{sharding}"
            flags = ["--initial-downsample", "1", "--sharding", sharding, "--quiet", "--log-level", "ERROR"]
            assert cli.main([str(source), "--output-dir", str(folder), *flags]) == 0
            dataset = folder / f"{source.name.partition('.')[0]}.ome.zarr"
            with serving_of(dataset, chosen.vizarr) as server:
                page.driver.get("about:blank")
                ours, ways = of_page(page, server, dataset)
                print(f"{what}, shards {sharding}")
                report("page", ours)
                if chosen.vizarr:
                    resize(page, WIDTH)
                    report("Vizarr", of_vizarr(page, server, dataset, ways))
                    page.driver.save_screenshot(str(chosen.scratch / f"vizarr-{dataset.name}-{sharding}.png"))
                    resize(page, LIST + WIDTH)
                if what.startswith("A"):
                    pan(page, server, dataset)
    page.quit()


def resize(page: Page, width: int) -> None:
    """Make the window that wide."""
    page.driver.get("about:blank")
    metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def report(name: str, counts: list[Count]) -> None:
    """A line for each view."""
    for view, (calls, size, absent) in zip(VIEWS, counts, strict=True):
        print(f"  {name:7} {view:15} {calls:4} requests ({absent} absent) {size / 1e6:7.2f} MB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
