// The state of the page in its address, so that a reload and a link show the same: #data/a.ome.zarr?x=..&y=..&zoom=..&z=..&c=..
import { hexOf, rgbOf } from "../image/color.js";

const AXES = ["t", "z", "y", "x"];
const exact = (value) => String(Number(value.toPrecision(9)));

/** {url, query} of the part of an address behind the #. */
export function parse(hash) {
  const [url, query = ""] = hash.slice(1).split("?");
  return { url, query: new URLSearchParams(query) };
}

/** What tells `scene` and `camera` from the image as it is opened, as a query. */
export function describe(scene, camera) {
  const query = new URLSearchParams();
  if (scene.section !== "xy") query.set("section", scene.section);
  if (scene.project) query.set("max", "1");
  for (const axis of scene.sliders) if (scene.at[axis] !== scene.image.first[axis]) query.set(`at.${axis}`, scene.at[axis]);
  if (channelsOf(scene.channels) !== channelsOf(scene.image.channels)) query.set("c", channelsOf(scene.channels));
  const labels = scene.labels.filter(({ on }) => on).map(({ name }) => name);
  if (labels.length) query.set("labels", labels.join("*"));
  if (scene.asLabels !== scene.image.isLabel) query.set("as", scene.asLabels ? "labels" : "values");
  if (!camera.fits) {
    query.set("x", camera.target[0].toFixed(2));
    query.set("y", camera.target[1].toFixed(2));
    query.set("zoom", camera.zoom.toFixed(4));
  }
  return String(query);
}

/** Makes `scene` what the query says; what it does not say, or says wrongly, stays. Returns the place to look at: {target, zoom}, or null. */
export function apply(query, scene) {
  if (scene.sections.includes(query.get("section"))) scene.section = query.get("section");
  scene.project = query.get("max") === "1" && scene.section === "xy" && scene.sections.length > 1;
  for (const axis of AXES) {
    const place = Number(query.get(`at.${axis}`) ?? NaN);
    if (Number.isInteger(place) && place >= 0 && place < (scene.image.sizes[axis] ?? 1)) scene.at[axis] = place;
  }
  if (query.has("c")) applyChannels(query.get("c"), scene);
  const labels = (query.get("labels") ?? "").split("*");
  for (const label of scene.labels) label.on = labels.includes(label.name);
  if (query.has("as")) scene.asLabels = query.get("as") === "labels";
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number(query.get(name) ?? NaN));
  return [x, y, zoom].every(Number.isFinite) ? { target: [x, y], zoom } : null;
}

// 0_ff0000_12_255*2_0000ff_0_99: of each channel that is on its number, colour and window
function channelsOf(channels) {
  const on = channels.filter(({ on }) => on);
  return on.map(({ index, color, limits }) => [index, hexOf(color).slice(1), ...limits.map(exact)].join("_")).join("*");
}

function applyChannels(text, scene) {
  for (const channel of scene.channels) channel.on = false;
  for (const [index, color, from, to] of text.split("*").map((one) => one.split("_"))) {
    const channel = scene.channels[index];
    if (!channel) continue;
    channel.on = true;
    if (/^[0-9a-f]{6}$/.test(color)) channel.color = rgbOf(color);
    const limits = [Number(from), Number(to)];
    if (limits.every(Number.isFinite) && limits[0] < limits[1]) channel.limits = limits;
  }
}
