// A plate as a grid of its wells, each a small picture of its first field; arrow keys go from well to well.
import { openSmallest } from "../image/dataset.js";
import { fieldsOf } from "../image/plate.js";
import { make } from "./dom.js";
import { asOpened, smallPicture } from "./thumbnail.js";

const SIDE = 96; // pixels of a picture
const TOGETHER = 4; // wells that are read at once

export class PlateGrid {
  #seen = new Map(); // of each well that is in sight: its first field; null while it is opened, or where that failed
  #waiting = [];
  #limits = new Map(); // of each channel, over all fields that are opened: wells are compared in one contrast
  #busy = false;
  #stop = new AbortController();

  /** `chosen`: the path of the well to begin at; `drawn` is called when all that is in sight is drawn. */
  constructor(host, dataset, plate, chosen, drawn) {
    Object.assign(this, { host, dataset, plate, drawn });
    this.links = new Map(plate.wells.map((well) => [`${well.row} ${well.column}`, this.#link(well)]));
    const head = make("tr", {}, make("td"), ...plate.columns.map((textContent) => make("th", { scope: "col", textContent })));
    const rows = plate.rows.map((name, row) => make("tr", {}, make("th", { scope: "row", textContent: name }),
      ...plate.columns.map((_, column) => this.#cell(this.links.get(`${row} ${column}`)))));
    const table = make("table", { role: "grid", "aria-label": `Plate ${plate.name}: ${plate.wells.length} wells` }, make("thead", {}, head), make("tbody", {}, ...rows));
    table.style.setProperty("--columns", plate.columns.length);
    table.addEventListener("keydown", (event) => this.#key(event));
    this.note = make("p", { role: "status", textContent: this.#summary() });
    host.replaceChildren(make("h2", { textContent: plate.name }), this.note, table);
    host.hidden = false;
    const current = plate.wells.find(({ path }) => path === chosen) ?? plate.wells[0];
    if (current) this.links.get(`${current.row} ${current.column}`).tabIndex = 0;
    if (chosen && current?.path === chosen) this.links.get(`${current.row} ${current.column}`).focus();
    this.#watch();
  }

  #summary() {
    const { rows, columns, wells } = this.plate;
    return `${wells.length} of ${rows.length} × ${columns.length} wells, all in one contrast. Choose one to open it.`;
  }

  #link(well) {
    const link = make("a", { href: `#${this.dataset.url}/${well.path}`, tabIndex: -1, title: well.name, "aria-label": `Well ${well.name}` });
    return Object.assign(link, { well });
  }

  #cell(link) {
    return link ? make("td", {}, link) : make("td", { className: "empty" });
  }

  #key(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const well = event.target.well;
    if (!well || event.ctrlKey || event.metaKey || event.altKey) return;
    const next = steps ? this.#next(well, steps) : { Home: this.#edge(well, 1), End: this.#edge(well, -1) }[event.key];
    if (!next) return;
    event.preventDefault();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // the next well in a direction, wells that are not there left out
  #next({ row, column }, [down, right]) {
    const { rows, columns } = this.plate;
    for (row += down, column += right; row in rows && column in columns; row += down, column += right) {
      const link = this.links.get(`${row} ${column}`);
      if (link) return link;
    }
    return null;
  }

  #edge({ row }, from) {
    const inRow = this.plate.columns.map((_, column) => this.links.get(`${row} ${column}`)).filter(Boolean);
    return inRow.at(from > 0 ? 0 : -1);
  }

  #watch() {
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting || this.#seen.has(target)) continue;
        this.#seen.set(target, null);
        this.#waiting.push(target);
      }
      this.#work();
    }, { root: this.host });
    for (const link of this.links.values()) seen.observe(link);
    this.#stop.signal.addEventListener("abort", () => seen.disconnect());
  }

  // what is in sight is opened, then drawn; all is drawn again where a new field has widened the contrast
  async #work() {
    if (this.#busy) return;
    this.#busy = true;
    while (this.#waiting.length && !this.#stop.signal.aborted) {
      const some = this.#waiting.splice(0);
      const before = JSON.stringify([...this.#limits]);
      await each(some, (link) => this.#open(link));
      await each(JSON.stringify([...this.#limits]) === before ? some : [...this.#seen.keys()], (link) => this.#draw(link));
    }
    this.#busy = false;
    if (this.#stop.signal.aborted) return;
    this.host.dataset.state = "ready";
    this.drawn();
  }

  async #open(link) {
    if (this.#stop.signal.aborted) return;
    const { well } = link;
    try {
      const fields = await fieldsOf(this.dataset, well);
      link.setAttribute("aria-label", `Well ${well.name}${fields.length > 1 ? `, ${fields.length} fields` : ""}`);
      const image = await openSmallest({ url: `${this.dataset.url}/${fields[0]}`, zarr_format: this.dataset.zarr_format });
      for (const { index, limits: [from, to] } of image.channels) {
        const [least, most] = this.#limits.get(index) ?? [Infinity, -Infinity];
        this.#limits.set(index, [Math.min(least, from), Math.max(most, to)]);
      }
      this.#seen.set(link, image);
    } catch (error) {
      link.classList.add("failed");
      link.title = `${well.name}: ${error.message}`;
      link.setAttribute("aria-label", `Well ${well.name}, which cannot be shown`);
    }
  }

  async #draw(link) {
    const image = this.#seen.get(link);
    if (!image || this.#stop.signal.aborted) return;
    const shown = asOpened(image);
    const channels = shown.channels.map((channel) => ({ ...channel, limits: this.#limits.get(channel.index) }));
    const picture = await smallPicture(image, { ...shown, channels }, SIDE, this.#stop.signal).catch(() => null);
    if (picture) link.replaceChildren(picture);
  }

  close() {
    this.#stop.abort();
    this.host.hidden = true;
    this.host.replaceChildren();
    delete this.host.dataset.state;
  }
}

/** The way back to the plate, and to the other fields of the well. */
export function fieldsNav(dataset, plate, well, fields, path) {
  const links = fields.map((field, i) => make("a", {
    href: `#${dataset.url}/${field}`, textContent: i + 1, "aria-label": `Field ${i + 1} of well ${well.name}`, ...(field === path ? { "aria-current": "page" } : {}),
  }));
  const back = make("a", { href: `#${dataset.url}?well=${encodeURIComponent(well.path)}`, textContent: `‹ ${plate.name}`, "aria-label": `Back to plate ${plate.name}` });
  return make("nav", { className: "fields", "aria-label": `Well ${well.name}` }, back, make("span", { textContent: `Well ${well.name}${fields.length > 1 ? ", field" : ""}` }),
    ...(fields.length > 1 ? links : []));
}

async function each(all, action) {
  const rest = [...all];
  await Promise.all(Array.from({ length: TOGETHER }, async () => {
    while (rest.length) await action(rest.shift());
  }));
}
