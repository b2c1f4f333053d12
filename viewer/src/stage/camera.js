// Where the stage looks: a place of the section in widths of a pixel of level 0, and the zoom; at zoom 0 such a pixel is one screen pixel wide.

const CLOSEST = 5;
const MARGIN = 0.94; // of the stage, when the whole image is shown

export class Camera {
  target = [0, 0];
  zoom = 0;
  size = [1, 1]; // of the stage, in screen pixels
  extent = [1, 1]; // of the section

  get scale() {
    return 2 ** this.zoom;
  }

  get #whole() {
    return Math.log2(Math.min(this.size[0] / this.extent[0], this.size[1] / this.extent[1]) * MARGIN);
  }

  /** Whether it looks at the whole image, as fit() does. */
  get fits() {
    return Math.abs(this.zoom - Math.min(this.#whole, CLOSEST)) < 1e-6 && this.target.every((at, i) => Math.abs(at - this.extent[i] / 2) < 1e-6);
  }

  fit() {
    this.look(this.extent.map((side) => side / 2), Math.min(this.#whole, CLOSEST));
  }

  /** Centre and zoom, kept where there is something to see. */
  look(target, zoom) {
    this.target = target.map((value, i) => Math.min(Math.max(value, 0), this.extent[i]));
    this.zoom = Math.min(CLOSEST, Math.max(Math.min(this.#whole, 0) - 1, zoom));
  }

  /** Zooms by powers of two; what is at this place of the stage stays there. */
  zoomAt(screen, steps) {
    const before = this.toImage(screen);
    this.look(this.target, this.zoom + steps);
    const after = this.toImage(screen);
    this.look(this.target.map((value, i) => value + before[i] - after[i]), this.zoom);
  }

  /** Moves by screen pixels. */
  pan(right, down) {
    this.look([this.target[0] + right / this.scale, this.target[1] + down / this.scale], this.zoom);
  }

  toImage(screen) {
    return screen.map((value, i) => this.target[i] + (value - this.size[i] / 2) / this.scale);
  }

  toScreen(place) {
    return place.map((value, i) => this.size[i] / 2 + (value - this.target[i]) * this.scale);
  }

  /** {left, top, right, bottom}: what of the section is on the stage. */
  get view() {
    const [left, top] = this.toImage([0, 0]);
    const [right, bottom] = this.toImage(this.size);
    return {
      left: Math.max(0, left), top: Math.max(0, top), right: Math.min(this.extent[0], right), bottom: Math.min(this.extent[1], bottom),
    };
  }
}
