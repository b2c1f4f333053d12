// The page: the list of datasets, the open one on the stage, its controls beside it, and errors in words.
import { openDataset } from "./image/dataset.js";
import { fieldsOf, openPlate } from "./image/plate.js";
import { parse } from "./page/address.js";
import { about } from "./page/info.js";
import { bindings, listOf, listen } from "./page/keys.js";
import { List } from "./page/list.js";
import { PlateGrid, fieldsNav } from "./page/plate.js";
import { Ruler } from "./page/ruler.js";
import { scaleBar } from "./page/scalebar.js";
import { snapshot } from "./page/snapshot.js";
import { showValue } from "./page/value.js";
import { Viewing } from "./page/viewing.js";
import { Picture } from "./stage/picture.js";

const at = (id) => document.getElementById(id);
const stage = at("stage");
const ruler = new Ruler(at("ruler"), at("measured"), at("measure"));
let opened = 0; // counts, so that a slow answer for a dataset that was left again is not shown
let viewing = null;
let grid = null; // of the plate that is open
let picture = null;
let list = null;
let pointer = null; // in screen pixels of the stage; null: the middle, where keys are used

function fail(message) {
  grid?.close();
  stage.inert = false;
  stage.dataset.state = "error";
  at("error").textContent = message;
  at("error").hidden = false;
  list?.idle();
}

function barOf({ scene: { image } }, camera) {
  const { section } = viewing.scene.shown(image);
  return scaleBar(image.spacing[section.h] / camera.scale, image.units.x);
}

function showPlace() {
  if (!viewing) return;
  const { camera } = picture;
  const { image } = viewing;
  const [layer] = picture.layers;
  const { section } = viewing.scene.shown(image);
  const shape = image.levels[layer.level].shape;
  at("level").textContent = `Level ${layer.level} (0–${image.levels.length - 1}) · ${shape[section.h]} × ${shape[section.v]} px`;
  at("zoom").textContent = `${Number((camera.scale * 100).toPrecision(camera.scale < 0.1 ? 2 : 3))} %`;
  const bar = barOf(viewing, camera);
  at("bar").style.width = `${bar.width}px`;
  at("length").textContent = bar.text;
  Object.assign(stage.dataset, { level: layer.level, zoom: camera.zoom, x: camera.target[0], y: camera.target[1] });
  ruler.show(camera, image.spacing[section.h], image.units.x);
  viewing.moved();
  tellValue();
}

function tellValue() {
  at("cross").hidden = pointer !== null || !viewing;
  if (viewing) showValue(at("value"), viewing.scene, picture, pointer ?? (document.activeElement === stage ? picture.camera.size.map((side) => side / 2) : null));
  if (at("value").hidden) at("cross").hidden = true;
}

function showDrawn({ ready, wanted, missing, failed, why }) {
  at("loading").hidden = !missing;
  at("loading").textContent = missing ? `Loading ${wanted - missing} of ${wanted} tiles` : "";
  at("failed").hidden = !failed;
  if (failed) at("why").textContent = `${failed} of ${wanted} tiles could not be loaded: ${why}.`;
  if (stage.dataset.state !== "error") stage.dataset.state = ready ? "ready" : "loading";
  viewing?.drawn(ready);
  if (ready) list?.idle();
  tellValue();
}

function leave() {
  viewing?.close();
  grid?.close();
  viewing = grid = null;
  stage.inert = false;
  at("fields").replaceChildren();
  stage.dataset.state = "loading";
  for (const id of ["error", "overlay", "about", "failed", "loading", "value", "cross"].map(at)) id.hidden = true;
  if (ruler.on) ruler.toggle();
  return ++opened;
}

function entitle(name) {
  document.title = name;
  at("title").textContent = name;
}

/** A plate as its grid, or the field of it that `url` names: by its own path, or by that of its well. */
async function openOfPlate(dataset, url, query) {
  const turn = leave();
  entitle(dataset.name);
  list.mark(dataset.url);
  try {
    const plate = await openPlate(dataset);
    if (turn !== opened) return;
    const path = decodeURI(url).slice(decodeURI(dataset.url).length + 1);
    if (!path) {
      grid = new PlateGrid(at("plate"), dataset, plate, query.get("well"), () => list.idle());
      stage.inert = true;
      return;
    }
    const well = plate.wells.find((one) => path === one.path || path.startsWith(`${one.path}/`));
    if (!well) throw new Error(`it has no ${path}`);
    const fields = await fieldsOf(dataset, well);
    if (turn !== opened) return;
    const field = path === well.path ? fields[0] : path;
    const name = `${plate.name} ${well.name}${fields.length > 1 ? ` field ${fields.indexOf(field) + 1}` : ""}`;
    open({ name, url: `${dataset.url}/${field}`, zarr_format: dataset.zarr_format, plate: dataset.url }, query);
    at("fields").replaceChildren(fieldsNav(dataset, plate, well, fields, field));
  } catch (error) {
    if (turn === opened) fail(`${dataset.name} cannot be shown: ${error.message}`);
  }
}

async function open(dataset, query) {
  const turn = leave();
  entitle(dataset.name);
  list.mark(dataset.plate || dataset.url);
  try {
    const image = await openDataset(dataset);
    if (turn !== opened) return;
    picture ??= new Picture(at("canvas"), {
      view: showPlace,
      drawn: showDrawn,
      tap: (screen) => {
        pointer = screen;
        if (ruler.on && viewing) point(screen);
        tellValue();
      },
      hover: (screen) => {
        pointer = screen;
        tellValue();
      },
      lost: () => fail("The browser has taken the graphics card away from this page: load it again."),
    });
    viewing = new Viewing(image, picture, query, { controls: at("controls"), overview: at("overview") }, {
      address: (text) => history.replaceState(null, "", `#${dataset.url}${text && `?${text}`}`),
      failed: (message) => fail(`${dataset.name}: ${message}`),
    });
    viewing.scene.listen(tellValue);
    at("overlay").hidden = at("about").hidden = false;
    at("info").replaceChildren(...about(image));
    stage.setAttribute("aria-label", `Image ${dataset.name}. Arrow keys move it, plus and minus zoom, 0 shows it whole.`);
    showPlace();
  } catch (error) {
    if (turn === opened) fail(`${dataset.name} cannot be shown: ${error.message}`);
  }
}

function point(screen) {
  ruler.add(picture.camera.toImage(screen));
  showPlace();
}

const does = {
  camera: (change) => {
    pointer = null;
    picture.move(() => change(picture.camera));
  },
  step: (axis, steps) => viewing.step(axis, steps),
  play: () => viewing.play(),
  auto: () => viewing.auto(),
  channel: (n) => viewing.channel(n),
  ruler: () => {
    ruler.toggle();
    showPlace();
  },
  point: () => ruler.on && point(picture.camera.size.map((side) => side / 2)),
  unpoint: () => {
    ruler.back();
    showPlace();
  },
  save: (withBar) => snapshot(picture, viewing.image.name, withBar && barOf(viewing, picture.camera)),
  full: () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen?.()),
};

function start() {
  const keys = bindings(does);
  listen(stage, keys, () => viewing);
  at("keys").append(listOf(keys));
  const click = (id, action) => at(id).addEventListener("click", () => viewing && action());
  click("in", () => does.camera((camera) => camera.zoomAt(camera.size.map((side) => side / 2), 1)));
  click("out", () => does.camera((camera) => camera.zoomAt(camera.size.map((side) => side / 2), -1)));
  click("fit", () => does.camera((camera) => camera.fit()));
  click("measure", does.ruler);
  click("save", () => does.save(at("with-bar").checked));
  click("full", does.full);
  click("again", () => picture.retry());
  at("full").hidden = !document.fullscreenEnabled;
  at("skip").addEventListener("click", () => (grid ? at("plate").querySelector("a[tabindex='0']") : stage).focus());
  stage.addEventListener("focus", tellValue);
  stage.addEventListener("blur", tellValue);
}

async function load() {
  const answer = await fetch("datasets.json").catch(() => null);
  if (!answer?.ok) return fail("The server does not answer: is it still running?");
  const { folder, datasets, full } = await answer.json();
  list = new List(at("list"), datasets, full);
  if (!datasets.length) return fail(`There is no OME-Zarr dataset in ${folder} yet: convert an image, then load this page again.`);
  const chosen = async () => {
    const { url, query } = parse(location.hash);
    const turn = leave();
    try {
      const dataset = await list.find(url); // a file is opened for it
      if (turn !== opened) return;
      if (dataset?.plate) openOfPlate(dataset, url.startsWith(dataset.url) ? url : dataset.url, query);
      else if (dataset) open(dataset, query);
      else fail(`There is no dataset ${decodeURI(url.replace(/^data\//, ""))} in ${folder}.`);
    } catch (error) {
      if (turn === opened) fail(error.message);
    }
  };
  addEventListener("hashchange", chosen);
  chosen();
}

addEventListener("unhandledrejection", ({ reason }) => fail(`${document.title}: ${reason?.message ?? reason}`));
start();
load().catch((error) => fail(error.message));
