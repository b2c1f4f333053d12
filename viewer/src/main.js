// The page: the list of datasets, the open one on the stage, its controls beside it, and errors in words.
import { controls } from "./controls.js";
import { openDataset } from "./dataset.js";
import { Picture } from "./picture.js";
import { scaleBar } from "./scalebar.js";

const at = (id) => document.getElementById(id);
const stage = at("stage");
let opened = 0; // counts, so that a slow answer for a dataset that was left again is not shown
let image = null;
let picture = null;

function fail(message) {
  stage.dataset.state = "error";
  at("error").textContent = message;
  at("error").hidden = false;
}

function clear() {
  stage.dataset.state = "loading";
  at("error").hidden = true;
}

function showView({ view, level }) {
  const { levels, pixel } = image;
  const [height, width] = levels[level].shape.slice(-2);
  const size = 2 ** view.zoom;
  at("level").textContent = `Level ${level} (0–${levels.length - 1}) · ${width} × ${height} px`;
  at("zoom").textContent = `${Number((size * 100).toPrecision(size < 0.1 ? 2 : 3))} %`;
  const bar = scaleBar(pixel.x / size, pixel.unit);
  at("bar").style.width = `${bar.width}px`;
  at("length").textContent = bar.text;
  Object.assign(stage.dataset, { level, zoom: view.zoom, x: view.target[0], y: view.target[1] });
}

async function open(dataset) {
  const turn = ++opened;
  clear();
  image = null;
  picture?.clear();
  at("controls").replaceChildren();
  at("overlay").hidden = true;
  document.title = dataset.name;
  for (const link of at("datasets").querySelectorAll("a")) {
    if (link.dataset.url === dataset.url) {
      link.setAttribute("aria-current", "page");
      link.parentElement.parentElement.scrollTop = link.offsetTop - link.parentElement.parentElement.offsetTop - 48;
    } else link.removeAttribute("aria-current");
  }
  try {
    const found = await openDataset(dataset);
    if (turn !== opened) return;
    image = found;
    picture ??= new Picture(at("canvas"), {
      view: showView,
      ready: () => stage.dataset.state === "loading" && (stage.dataset.state = "ready"),
      error: (error) => fail(`${document.title}: ${error?.message ?? error}`),
    });
    picture.show(image);
    stage.setAttribute("aria-label", `Image ${dataset.name}. Arrow keys move it, plus and minus zoom, 0 shows it whole.`);
    at("overlay").hidden = false;
    controls(at("controls"), image, (shown) => {
      clear();
      picture.draw(shown);
    });
  } catch (error) {
    if (turn === opened) fail(`${dataset.name} cannot be shown: ${error.message}`);
  }
}

const KEYS = {
  ArrowLeft: () => picture.pan(-0.1, 0),
  ArrowRight: () => picture.pan(0.1, 0),
  ArrowUp: () => picture.pan(0, -0.1),
  ArrowDown: () => picture.pan(0, 0.1),
  "+": () => picture.zoomBy(0.5),
  "=": () => picture.zoomBy(0.5),
  "-": () => picture.zoomBy(-0.5),
  0: () => picture.fit(),
};

function listen() {
  stage.addEventListener("keydown", (event) => {
    if (!image || event.target !== stage || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
  at("in").addEventListener("click", () => image && picture.zoomBy(1));
  at("out").addEventListener("click", () => image && picture.zoomBy(-1));
  at("fit").addEventListener("click", () => image && picture.fit());
}

async function start() {
  listen();
  const answer = await fetch("datasets.json").catch(() => null);
  if (!answer?.ok) return fail("The server does not answer: is it still running?");
  const { folder, datasets } = await answer.json();
  at("count").textContent = datasets.length;
  at("datasets").replaceChildren(...datasets.map(({ name, url }) => {
    const link = Object.assign(document.createElement("a"), { href: `#${url}`, textContent: name, title: name });
    link.dataset.url = url;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  if (!datasets.length) return fail(`There is no OME-Zarr dataset in ${folder} yet: convert an image, then load this page again.`);
  at("list").open = matchMedia("(min-width: 800px)").matches || datasets.length > 1;
  const chosen = () => {
    const url = location.hash.slice(1);
    const dataset = url ? datasets.find((one) => one.url === url) : datasets[0];
    if (dataset) open(dataset);
    else fail(`There is no dataset ${decodeURI(url.replace(/^data\//, ""))} in ${folder}.`);
  };
  addEventListener("hashchange", chosen);
  chosen();
}

addEventListener("unhandledrejection", ({ reason }) => fail(`${document.title}: ${reason?.message ?? reason}`));
start().catch((error) => fail(error.message));
