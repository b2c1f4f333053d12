// Lengths and areas: points that are set on the image, joined by lines.
import { length } from "../image/units.js";
import { draw } from "./dom.js";

export class Ruler {
  points = [];
  on = false;

  /** `svg` covers the stage, `text` says what was measured, `button` switches it. */
  constructor(svg, text, button) {
    Object.assign(this, { svg, text, button });
  }

  toggle() {
    this.on = !this.on;
    this.points = [];
    this.button.setAttribute("aria-pressed", this.on);
    this.svg.toggleAttribute("hidden", !this.on);
    this.text.hidden = !this.on;
  }

  /** Another point, in widths of a pixel of level 0. */
  add(point) {
    this.points.push(point);
  }

  back() {
    this.points.pop();
  }

  /** Draws what is measured where `camera` looks; `spacing` is the width of such a pixel in `unit`. */
  show(camera, spacing, unit) {
    if (!this.on) return;
    const screen = this.points.map((point) => camera.toScreen(point));
    const line = screen.map((point) => point.join()).join(" ");
    this.svg.replaceChildren(
      ...(screen.length > 2 ? [draw("polygon", { points: line })] : []),
      draw("polyline", { points: line }),
      ...screen.map(([cx, cy]) => draw("circle", { cx, cy, r: 4 })),
    );
    this.text.textContent = this.points.length < 2
      ? "Tap points on the image, or press Enter for its middle."
      : [`Length ${length(along(this.points) * spacing, unit)}`, ...(screen.length > 2 ? [`Area ${length(area(this.points) * spacing ** 2, unit, 2)}`] : [])].join(" · ");
  }
}

/** The way from the first point to the last. */
export const along = (points) => points.slice(1).reduce((sum, [x, y], i) => sum + Math.hypot(x - points[i][0], y - points[i][1]), 0);

/** What the points enclose, the last one joined to the first: the shoelace formula. */
export function area(points) {
  return Math.abs(points.reduce((sum, [x, y], i) => sum + x * points[(i + 1) % points.length][1] - points[(i + 1) % points.length][0] * y, 0)) / 2;
}
