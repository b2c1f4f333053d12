// The value under the pointer, or in the middle of the stage for who uses keys: where it is, in pixels and in its unit, and all channels.
import { hexOf } from "../image/color.js";
import { length } from "../image/units.js";
import { make } from "./dom.js";

const number = (value) => (value === undefined ? "…" : String(Number.isInteger(value) ? value : Number(value.toPrecision(6))));

/** Writes into `host` what is at a place of the stage in screen pixels; nothing where there is no image. */
export function showValue(host, scene, picture, screen) {
  const place = screen && picture.camera.toImage(screen);
  const [layer, ...above] = picture.layers;
  const { section } = scene.shown(scene.image);
  const [width, height] = [section.width, section.height * section.stretch];
  host.hidden = !place || !layer || place[0] < 0 || place[1] < 0 || place[0] >= width || place[1] >= height;
  if (host.hidden) return;
  const pixels = { [section.h]: Math.floor(place[0]), [section.v]: Math.floor(place[1] / section.stretch) };
  const parts = [make("span", { className: "place", textContent: `${section.h} ${pixels[section.h]}, ${section.v} ${pixels[section.v]}` })];
  if (scene.image.units.x) {
    const physical = [section.h, section.v].map((axis) => length(pixels[axis] * scene.image.spacing[axis], scene.image.units.x));
    parts.push(make("span", { textContent: physical.join(", ") }));
  }
  const { level, values } = layer.valuesAt(place);
  layer.shown.channels.forEach((channel, i) => {
    const dot = make("i");
    dot.style.background = scene.asLabels ? "none" : hexOf(channel.color);
    parts.push(make("span", { className: "of" }, dot, `${scene.asLabels ? "Label" : channel.name} `, make("b", { textContent: number(values[i]) })));
  });
  for (const label of above) {
    parts.push(make("span", { className: "of" }, `${label.image.name} `, make("b", { textContent: number(label.valuesAt(place).values[0]) })));
  }
  if (level) parts.push(make("span", { textContent: `level ${level}` }));
  host.replaceChildren(...parts);
}
