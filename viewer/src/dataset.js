// An OME-Zarr as the page needs it: levels, planes, channels, pixel size. NGFF 0.4 and 0.5, Zarr v2 and v3.
import { ZarrPixelSource } from "@vivjs/loaders";
import * as zarr from "zarrita";
import { rgbOf } from "./color.js";
import { SharedFetches } from "./fetches.js";
import { METERS } from "./scalebar.js";

const PALETTE = ["FFFFFF", "FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF"];
const KINDS = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32"];

/** Opens what the server's list names: {name, url, zarr_format}. Throws an Error that says in words what is wrong. */
export async function openDataset({ name, url, zarr_format: format }) {
  const open = format === 2 ? zarr.open.v2 : zarr.open.v3;
  const root = zarr.root(new SharedFetches(new URL(url, location.href).href));
  const group = await open(root, { kind: "group" });
  const { multiscales, omero } = group.attrs.ome ?? group.attrs;
  const [image] = multiscales ?? [];
  if (!image?.datasets?.length) throw new Error("its metadata names no multiscales");

  const arrays = await Promise.all(
    image.datasets.map(({ path }) => open(root.resolve(path), { kind: "array", attrs: false })),
  );
  const [base] = arrays;
  if (!KINDS.includes(base.dtype)) throw new Error(`its pixels are ${base.dtype}, which cannot be shown here`);
  const axes = image.axes.map((axis) => axis.name ?? axis);
  const sizes = Object.fromEntries(axes.map((axis, i) => [axis, base.shape[i]]));
  const tile = 2 ** Math.floor(Math.log2(Math.min(...base.chunks.slice(-2))));
  const levels = arrays.map((array) => new ZarrPixelSource(array, axes, tile));
  const scale = image.datasets[0].coordinateTransformations?.find((step) => step.type === "scale")?.scale;
  const step = (axis) => scale?.[axes.indexOf(axis)] ?? 1;
  return {
    name,
    levels,
    sizes,
    dtype: levels[0].dtype,
    pixel: pixelOf(step, Object.fromEntries(image.axes.map((axis) => [axis.name, axis.unit]))),
    first: { z: omero?.rdefs?.defaultZ ?? 0, t: omero?.rdefs?.defaultT ?? 0 },
    channels: await channelsOf(omero?.channels ?? [], sizes.c ?? 1, levels.at(-1)),
  };
}

/** The sides of a pixel of level 0, both in the unit of x; the same where the units of y and x cannot be compared. */
function pixelOf(step, units) {
  const x = step("x");
  const y = units.x === units.y ? step("y") : step("y") * (METERS[units.y] / METERS[units.x]);
  return { x, y: y > 0 ? y : x, unit: units.x };
}

async function channelsOf(stated, count, smallest) {
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const channel = stated[index] ?? {};
      const window = channel.window ?? (await extremes(smallest, index));
      const [start, end] = [window.start ?? window.min, window.end ?? window.max];
      return {
        name: channel.label ?? `Channel ${index}`,
        color: rgbOf(channel.color ?? PALETTE[count === 1 ? 0 : 1 + (index % (PALETTE.length - 1))]),
        on: channel.active !== false,
        limits: [start, end],
        range: [Math.min(window.min, start), Math.max(window.max, end)],
      };
    }),
  );
}

async function extremes(source, c) {
  const { data } = await source.getRaster({ selection: source.labels.includes("c") ? { c } : {} });
  let [min, max] = [Infinity, -Infinity];
  for (const value of data) {
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return min < max ? { min, max } : { min: 0, max: 1 };
}
