// The list of datasets: a filter, and a thumbnail of each that can be seen.
import { openSmallest } from "../image/dataset.js";
import { make } from "./dom.js";
import { asOpened, smallPicture } from "./thumbnail.js";

const FILTER_FROM = 6;
const SIDE = 40;

export class List {
  #items = [];
  #queue = [];
  #busy = true; // until the image is there: its tiles come first

  constructor(host, datasets) {
    const [count, filter, list] = ["#count", "#filter", "#datasets"].map((selector) => host.querySelector(selector));
    Object.assign(this, { list, count });
    this.#items = datasets.map((dataset) => {
      const thumb = make("span", { className: "thumb", "aria-hidden": "true" });
      const link = make("a", { href: `#${dataset.url}`, title: dataset.name }, ...(datasets.length > 1 ? [thumb] : []), make("span", { textContent: dataset.name }));
      return { dataset, link, thumb, item: make("li", {}, link) };
    });
    list.replaceChildren(...this.#items.map(({ item }) => item));
    count.textContent = datasets.length;
    filter.hidden = datasets.length < FILTER_FROM;
    filter.addEventListener("input", () => this.#filter(filter.value));
    host.open = matchMedia("(min-width: 800px)").matches || datasets.length > 1;
    if (datasets.length > 1) this.#watch();
  }

  #filter(text) {
    const words = text.toLowerCase().split(/\s+/);
    for (const { dataset, item } of this.#items) item.hidden = !words.every((word) => dataset.name.toLowerCase().includes(word));
    const left = this.#items.filter(({ item }) => !item.hidden).length;
    this.count.textContent = left === this.#items.length ? left : `${left} of ${this.#items.length}`;
  }

  #watch() {
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const one = this.#items.find(({ item }) => item === target);
        if (!isIntersecting || one.asked || one.dataset.slow) continue;
        one.asked = true;
        this.#queue.push(one);
      }
      this.#next();
    }, { root: this.list });
    for (const { item } of this.#items) seen.observe(item);
  }

  /** Thumbnails may be drawn from now on. */
  idle() {
    if (!this.#busy) return;
    this.#busy = false;
    this.#next();
  }

  async #next() {
    if (this.#busy || !this.#queue.length) return;
    this.#busy = true;
    const { dataset, thumb } = this.#queue.shift();
    const picture = dataset.preview
      ? make("img", { src: dataset.preview, alt: "", loading: "lazy", decoding: "async" })
      : await openSmallest(dataset).then((image) => smallPicture(image, asOpened(image), SIDE)).catch(() => null); // who opens it is told why
    if (picture) thumb.replaceChildren(picture);
    this.#busy = false;
    this.#next();
  }

  /** Marks the one that is open, and brings it into sight. */
  mark(url) {
    for (const { dataset, link } of this.#items) {
      if (dataset.url !== url) {
        link.removeAttribute("aria-current");
        continue;
      }
      link.setAttribute("aria-current", "page");
      this.list.scrollTop = link.offsetTop - this.list.offsetTop - 48;
    }
  }
}
