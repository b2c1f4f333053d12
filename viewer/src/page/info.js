// What the image is: sizes, levels, chunks, spacing, how it is stored and made.
import { length, short } from "../image/units.js";
import { make } from "./dom.js";

const AXES = ["x", "y", "z", "c", "t"];
const times = (values) => values.join(" × ");

/** A list of terms and a table of levels. */
export function about(image) {
  const { sizes, stated, levels, units } = image;
  const axes = AXES.filter((axis) => axis in sizes);
  const space = axes.filter((axis) => "xyz".includes(axis));
  const { array } = levels[0];
  const bytes = axes.reduce((product, axis) => product * sizes[axis], 1) * (Number(/\d+$/.exec(image.dtype)?.[0] ?? 8) / 8);
  const terms = {
    Name: stated.name,
    Size: axes.map((axis) => `${axis} ${sizes[axis]}`).join(", "),
    Extent: units.x && space.map((axis) => `${axis} ${length(sizes[axis] * levels[0].spacing[axis], units[axis])}`).join(", "),
    Pixel: units.x && space.map((axis) => `${axis} ${length(levels[0].spacing[axis], units[axis])}`).join(", "),
    "Time step": units.t && `${short(levels[0].spacing.t)} ${units.t}`,
    Numbers: `${image.dtype}, ${short(bytes / 1e6)} MB in full`,
    Stored: `Zarr v${image.format}, ${stated.version ? `NGFF ${stated.version}, ` : ""}codec ${array.codec}`,
    Shards: array.shard && times(array.shard.shape),
    Made: [stated.said.method, stated.said.version].filter(Boolean).join(" "),
    Levels: stated.said.description ?? stated.said.downsampling,
  };
  const list = make("dl");
  for (const [term, text] of Object.entries(terms)) if (text) list.append(make("dt", { textContent: term }), make("dd", { textContent: text }));
  const head = make("tr", {}, ...["Level", "Size", "Chunk", ...(units.x ? ["Pixel"] : [])].map((textContent) => make("th", { scope: "col", textContent })));
  const body = levels.map((level) => make("tr", {}, make("th", { scope: "row", textContent: level.path }),
    make("td", { textContent: times(space.map((axis) => level.shape[axis])) }),
    make("td", { textContent: times(AXES.filter((axis) => level.chunks[axis] > 1).map((axis) => level.chunks[axis])) || "1" }),
    ...(units.x ? [make("td", { textContent: times(space.map((axis) => length(level.spacing[axis], units[axis]))) })] : [])));
  return [list, make("div", { className: "wide", tabIndex: 0, role: "region", "aria-label": "Levels" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)))];
}
