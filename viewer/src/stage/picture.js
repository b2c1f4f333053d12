// The picture on the stage: a canvas, where it looks, and the layers that are drawn on it, an image and label images above it.
import { Camera } from "./camera.js";
import { gestures } from "./gestures.js";
import { Layer } from "./layer.js";
import { Renderer } from "./renderer.js";

export class Picture {
  camera = new Camera();
  layers = [];
  #asked = false;

  /** `on`: {view(), drawn({ready, wanted, missing, failed, why}), tap([x, y]), hover([x, y] or null)}, places in screen pixels. */
  constructor(host, on) {
    Object.assign(this, { host, on });
    const canvas = host.appendChild(document.createElement("canvas"));
    this.renderer = new Renderer(canvas);
    gestures(host, {
      pan: (right, down) => this.move(() => this.camera.pan(right, down)),
      zoom: (at, steps) => this.move(() => this.camera.zoomAt(at, steps)),
      tap: on.tap,
      hover: on.hover,
    });
    new ResizeObserver(() => this.#resize()).observe(host);
    canvas.addEventListener("webglcontextlost", () => on.lost());
  }

  /** Shows `images` above each other, whole. `shown(image)` tells what of each: see Layer.look. */
  show(images, shown) {
    this.clear();
    this.shown = shown;
    this.layers = images.map((image) => new Layer(image, this.renderer, () => this.#redraw()));
    this.#measure();
    this.camera.fit();
    this.update();
  }

  /** Shows these images above the first one, in the same place. */
  above(images) {
    const wanted = [this.layers[0].image, ...images];
    if (wanted.length === this.layers.length && wanted.every((image, i) => image === this.layers[i].image)) return;
    for (const layer of this.layers) if (!wanted.includes(layer.image)) layer.clear();
    this.layers = wanted.map((image) => this.layers.find((layer) => layer.image === image) ?? new Layer(image, this.renderer, () => this.#redraw()));
    this.#look();
  }

  clear() {
    for (const layer of this.layers) layer.clear();
    this.layers = [];
    this.#redraw();
  }

  /** Takes another section, plane, channels or contrast. */
  update() {
    if (!this.layers.length) return;
    const whole = this.camera.fits;
    const before = this.camera.extent.join();
    this.#measure();
    if (before !== this.camera.extent.join()) this.camera.fit();
    else if (whole) this.camera.fit();
    this.#look();
  }

  /** Looks elsewhere, as `change` does to the camera. */
  move(change) {
    if (!this.layers.length) return;
    change();
    this.#look();
  }

  retry() {
    for (const layer of this.layers) layer.retry();
    this.#look();
  }

  /** Draws at once, and returns the canvas: its pixels are there until the end of the task. */
  now() {
    this.#draw();
    return this.renderer.canvas;
  }

  #measure() {
    const { section } = this.shown(this.layers[0].image);
    this.camera.extent = [section.width, section.height * section.stretch];
    this.camera.size = [this.host.clientWidth, this.host.clientHeight];
  }

  #resize() {
    if (!this.layers.length) return;
    const whole = this.camera.fits;
    this.#measure();
    if (whole) this.camera.fit();
    else this.camera.look(this.camera.target, this.camera.zoom);
    this.#look();
  }

  #look() {
    for (const layer of this.layers) layer.look(this.shown(layer.image), this.camera, Math.min(2, Math.round(devicePixelRatio)));
    this.on.view();
    this.#redraw();
  }

  #redraw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    this.renderer.begin(this.host.clientWidth, this.host.clientHeight, devicePixelRatio);
    if (!this.layers.length) return;
    const ready = this.layers.map((layer) => layer.draw()).every(Boolean);
    const progress = this.layers.map((layer) => layer.progress);
    const sum = (name) => progress.reduce((total, one) => total + one[name], 0);
    const why = progress.find((one) => one.why)?.why;
    const missing = sum("missing");
    if (!ready && !missing) this.#redraw(); // textures that had no time in this frame
    this.on.drawn({ ready, wanted: sum("wanted"), missing, failed: sum("failed"), why });
  }
}
