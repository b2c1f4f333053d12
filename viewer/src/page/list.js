// The list of datasets by folder, of which only the rows in sight are elements: a filter, arrow keys, and a thumbnail of each that is looked at.
import { openSmallest } from "../image/dataset.js";
import { make } from "./dom.js";
import { asOpened, smallPicture } from "./thumbnail.js";

const FILTER_FROM = 6;
const SIDE = 40;
const [HIGH, LOW] = [46, 38]; // pixels of a row, with and without a thumbnail
const BEYOND = 300; // pixels above and below what is in sight that have rows too
const compare = new Intl.Collator(undefined, { numeric: true }).compare;

export class List {
  #rows = []; // what the filter leaves: entries, and headings {folder}
  #shown = new Map(); // of the rows that are elements
  #words = [];
  #busy = true; // until the image is there: its tiles come first
  #current = null; // the entry whose link the tab key reaches
  #open = null; // the address of what is open

  /** `entries` as the server lists them; a file that is not opened yet ({file: true}) becomes its images once it is in sight. */
  constructor(host, entries, full) {
    const [count, filter, list] = ["#count", "#filter", "#datasets"].map((selector) => host.querySelector(selector));
    Object.assign(this, { list, count, full });
    this.entries = entries.map(placed).sort(inOrder);
    filter.hidden = entries.length < FILTER_FROM;
    filter.addEventListener("input", () => {
      this.#words = filter.value.toLowerCase().split(/\s+/);
      this.list.scrollTop = 0;
      this.#lay();
    });
    host.open = matchMedia("(min-width: 800px)").matches || entries.length > 1;
    list.addEventListener("scroll", () => this.#draw());
    list.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#draw()).observe(list);
    this.#lay();
  }

  /** The entry that `url` is of, opened where it is a file; the first one without `url`. Undefined where there is none; rejects with why it cannot be opened. */
  async find(url) {
    const of = ({ dataset, file }) => url === dataset.url || ((dataset.plate || file) && url.startsWith(`${dataset.url}/`));
    const entry = url ? this.entries.find(of) : this.entries[0];
    if (!entry) return url ? (await imagesOf({ url }).catch(() => null))?.datasets[0] : undefined; // of a set, which another file stands for
    if (!entry.file) return entry.dataset;
    const opened = await this.#opened(entry);
    return opened.find((one) => url === one.url || (one.plate && url.startsWith(`${one.url}/`))) ?? (!url || url === entry.dataset.url ? opened[0] : undefined);
  }

  /** The images of a file, which take its place in the list. Rejects with why it cannot be opened. */
  async #opened(entry) {
    entry.asked ??= imagesOf(entry.dataset);
    let { datasets, others } = await entry.asked.catch((error) => {
      entry.failed = error.message;
      this.#shown.get(entry)?.remove();
      this.#shown.delete(entry);
      this.#draw();
      throw new Error(`${entry.dataset.name} cannot be shown: ${error.message}`);
    });
    if (datasets.length === 1 && datasets[0].url === entry.dataset.url && !others.length) Object.assign(entry, { dataset: datasets[0], file: false });
    else if (this.entries.includes(entry)) {
      const gone = new Set([entry.dataset.url, ...others, ...datasets.map(({ url }) => url)]);
      this.entries = [...this.entries.filter(({ dataset }) => !gone.has(dataset.url)), ...datasets.map(placed)].sort(inOrder);
      if (this.#current === entry) this.#current = this.entries.find(({ dataset }) => dataset === datasets[0]);
      this.#lay();
    }
    return datasets;
  }

  // which rows there are, and where
  #lay() {
    const left = this.entries.filter(({ text }) => this.#words.every((word) => text.includes(word)));
    const high = this.entries.length > 1 ? HIGH : LOW;
    this.#rows = [];
    let [top, folder] = [0, ""];
    for (const entry of left) {
      if (entry.folder !== folder) {
        folder = entry.folder;
        this.#rows.push({ heading: folder, top, height: LOW });
        top += LOW;
      }
      this.#rows.push(Object.assign(entry, { top, height: high, place: this.#rows.length }));
      top += high;
    }
    this.list.style.setProperty("--height", `${top}px`);
    this.count.textContent = (left.length === this.entries.length ? left.length : `${left.length} of ${this.entries.length}`) + (this.full ? " and more: name a folder below this one" : "");
    const focused = this.#hasFocus();
    for (const element of this.#shown.values()) element.remove();
    this.#shown.clear();
    if (!left.includes(this.#current)) this.#current = left.find(({ dataset }) => dataset.url === this.#open) ?? left[0];
    this.total = left.length;
    this.#draw(focused);
  }

  #hasFocus() {
    return this.list.contains(document.activeElement);
  }

  // elements of the rows in sight, and of the one that the keyboard is at
  #draw(focused = this.#hasFocus()) {
    const [from, to] = [this.list.scrollTop - BEYOND, this.list.scrollTop + this.list.clientHeight + BEYOND];
    const wanted = this.#rows.filter((row) => (row.top < to && row.top + row.height > from) || row === this.#current);
    for (const [row, element] of this.#shown) {
      if (wanted.includes(row)) continue;
      element.remove();
      this.#shown.delete(row);
    }
    for (const row of wanted) {
      if (this.#shown.has(row)) continue;
      const element = row.dataset ? this.#item(row) : make("li", { className: "folder" }, make("span", { textContent: row.heading, title: row.heading }));
      Object.assign(element.style, { top: `${row.top}px`, height: `${row.height}px` });
      const next = [...this.#shown].find(([other]) => other.top > row.top);
      this.list.insertBefore(element, next?.[1] ?? null);
      this.#shown.set(row, element);
    }
    if (focused && !this.#hasFocus()) this.#shown.get(this.#current)?.firstChild.focus({ preventScroll: true });
    this.#next();
  }

  #item(entry) {
    const { dataset, base, thumb } = entry;
    const said = entry.failed ? [make("span", { className: "why", textContent: entry.failed })] : [];
    const link = make("a", { href: `#${dataset.url}`, title: entry.failed ?? dataset.name, tabIndex: entry === this.#current ? 0 : -1 },
      ...(this.entries.length > 1 ? [thumb] : []), make("span", { className: "entry" }, make("span", { textContent: base }), ...said));
    if (entry.folder) link.setAttribute("aria-label", [dataset.name, entry.failed].filter(Boolean).join(": "));
    if (dataset.url === this.#open) link.setAttribute("aria-current", "page");
    return make("li", { "aria-setsize": this.total, "aria-posinset": this.#rows.filter((row) => row.dataset).indexOf(entry) + 1 }, link);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const entries = this.#rows.filter((row) => row.dataset);
    const page = Math.max(1, Math.floor(this.list.clientHeight / HIGH));
    const at = entries.indexOf(this.#current);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: entries.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#reach(entries[Math.min(entries.length - 1, Math.max(0, to))]);
    this.#shown.get(this.#current)?.firstChild.focus({ preventScroll: true });
  }

  // makes an entry the one that the tab key reaches, in sight
  #reach(entry) {
    const before = this.#shown.get(this.#current)?.firstChild;
    if (before) before.tabIndex = -1;
    this.#current = entry;
    const { scrollTop, clientHeight } = this.list;
    if (entry.top < scrollTop) this.list.scrollTop = entry.top - LOW;
    else if (entry.top + entry.height > scrollTop + clientHeight) this.list.scrollTop = entry.top + entry.height - clientHeight;
    this.#draw();
    this.#shown.get(entry).firstChild.tabIndex = 0;
  }

  /** Thumbnails may be drawn from now on. */
  idle() {
    if (!this.#busy) return;
    this.#busy = false;
    this.#next();
  }

  // what is in sight, from the top, one after another: files are opened, then drawn
  async #next() {
    if (this.#busy || this.entries.length < 2) return;
    const { scrollTop, clientHeight } = this.list;
    const inSight = (row) => row.dataset && row.top < scrollTop + clientHeight && row.top + row.height > scrollTop;
    const entry = clientHeight && this.#rows.find((row) => inSight(row) && !row.failed && !row.drawn && !row.dataset.slow);
    if (!entry) return;
    this.#busy = true;
    if (entry.file) await this.#opened(entry).catch(() => {}); // who opens it is told why
    else await this.#picture(entry);
    this.#busy = false;
    this.#next();
  }

  async #picture(entry) {
    entry.drawn = true;
    const { dataset, thumb } = entry;
    const picture = dataset.preview
      ? make("img", { src: dataset.preview, alt: "", decoding: "async" })
      : await openSmallest(dataset).then((image) => smallPicture(image, asOpened(image), SIDE)).catch(() => null);
    if (picture) thumb.replaceChildren(picture);
  }

  /** Marks the one that is open, and brings it into sight. */
  mark(url) {
    this.#open = url;
    for (const [row, element] of this.#shown) {
      if (row.dataset?.url === url) element.firstChild.setAttribute("aria-current", "page");
      else element.firstChild.removeAttribute("aria-current");
    }
    const entry = this.#rows.find((row) => row.dataset?.url === url);
    if (entry) this.#reach(entry);
  }
}

/** An entry of the list: its folder, its name there, and the text that the filter looks at. */
function placed(dataset) {
  const { name } = dataset;
  const cut = name.lastIndexOf("/");
  const thumb = make("span", { className: "thumb", "aria-hidden": "true" });
  return { dataset, thumb, file: dataset.file === true, folder: name.slice(0, Math.max(0, cut)), base: name.slice(cut + 1), text: name.toLowerCase() };
}

const inOrder = (one, other) => compare(one.folder, other.folder) || compare(one.base, other.base);

/** {datasets, others} of a file that the server lists unopened. Rejects with why it cannot be opened. */
async function imagesOf({ url }) {
  const answer = await fetch(`images.json?${url}`).catch(() => null);
  if (!answer?.ok) throw new Error("the server does not answer: is it still running?");
  const { datasets, others, error } = await answer.json();
  if (error) throw new Error(error);
  return { datasets, others };
}
