// An OME-Zarr image as the page needs it: levels, sizes, channels, spacing.
import { isFloat } from "../zarr/dtypes.js";
import { openArray, openGroup } from "../zarr/open.js";
import { channelsOf } from "./channels.js";
import { imageOf } from "./ngff.js";
import { METERS } from "./units.js";

/** Opens what the server's list names: {name, url, zarr_format, labels}. Throws an Error that says in words what is wrong. */
export async function openDataset({ name, url, zarr_format: format, labels = [] }) {
  const place = new URL(url, location.href).href;
  const stated = imageOf(await openGroup(place, format));
  const arrays = await Promise.all(stated.levels.map(({ path }) => openArray(`${place}/${path}`, format)));
  const image = assemble(stated, arrays);
  return Object.assign(image, {
    name, url, format, labels,
    channels: await channelsOf(stated, image),
    first: {
      t: stated.omero.rdefs?.defaultT ?? 0, z: stated.omero.rdefs?.defaultZ ?? Math.floor((image.sizes.z ?? 1) / 2),
      y: Math.floor(image.sizes.y / 2), x: Math.floor(image.sizes.x / 2),
    },
  });
}

/** The same with the smallest level alone, for a picture of a few pixels. */
export async function openSmallest({ url, zarr_format: format }) {
  const place = new URL(url, location.href).href;
  const stated = imageOf(await openGroup(place, format));
  const levels = stated.levels.slice(-1);
  const image = assemble({ ...stated, levels }, [await openArray(`${place}/${levels[0].path}`, format)]);
  const z = Math.min((image.sizes.z ?? 1) - 1, Math.floor(((image.sizes.z ?? 1) - 1) / 2));
  return Object.assign(image, { channels: await channelsOf(stated, image), first: { t: 0, z, y: 0, x: 0 } });
}

function assemble(stated, arrays) {
  const [base] = arrays;
  const axes = stated.axes.map(({ name }) => name);
  if (!axes.includes("x") || !axes.includes("y")) throw new Error("its axes are not named x and y");
  const at = (values, axis, otherwise) => values[axes.indexOf(axis)] ?? otherwise;
  const levels = arrays.map((array, k) => ({
    array,
    path: stated.levels[k].path,
    shape: Object.fromEntries(axes.map((axis, i) => [axis, array.shape[i]])),
    chunks: Object.fromEntries(axes.map((axis, i) => [axis, array.chunks[i]])),
    spacing: Object.fromEntries(axes.map((axis, i) => [axis, stated.levels[k].scale[i]])),
    factor: Object.fromEntries(["z", "y", "x"].map((axis) => [axis, axes.includes(axis) ? factorOf(stated, arrays, k, axes.indexOf(axis)) : 1])),
  }));
  const units = Object.fromEntries(stated.axes.map(({ name, unit }) => [name, unit]));
  return {
    axes, levels, units, stated,
    sizes: levels[0].shape,
    dtype: base.dtype,
    isFloat: isFloat(base.dtype),
    isLabel: stated.label !== null,
    spacing: inUnitOfX(levels[0].spacing, units),
    offset: Object.fromEntries(axes.map((axis) => [axis, at(stated.levels[0].offset, axis, 0)])),
  };
}

// pixels of level 0 that a pixel of level k spans; by the sizes where no scale says so (NGFF 0.1 to 0.3)
function factorOf(stated, arrays, k, axis) {
  const byScale = stated.levels[k].scale[axis] / stated.levels[0].scale[axis];
  return stated.scaled && byScale > 0 && Number.isFinite(byScale) ? byScale : Math.max(1, Math.round(arrays[0].shape[axis] / arrays[k].shape[axis]));
}

/** The sides of a pixel of level 0 in z, y and x, all in the unit of x; those whose units cannot be compared are as long as x. */
function inUnitOfX(spacing, units) {
  const { x } = spacing;
  const convert = (axis) => {
    const value = units[axis] === units.x ? spacing[axis] : spacing[axis] * (METERS[units[axis]] / METERS[units.x]);
    return value > 0 ? value : x;
  };
  return { x, y: convert("y"), z: "z" in spacing ? convert("z") : x };
}
