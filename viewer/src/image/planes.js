// What a tile shows: a plane cut out of one chunk, or the maximum of all planes of a volume.
import { chunk } from "../zarr/chunks.js";

/** The place of each axis that is not drawn, in pixels of `level`, for the place `at` in pixels of level 0 and a channel. */
export function placesOf(level, axes, { h, v }, at, c) {
  const places = {};
  for (const axis of axes) {
    if (axis === h || axis === v) continue;
    places[axis] = axis === "c" ? c : Math.min(level.shape[axis] - 1, Math.floor((at[axis] ?? 0) / (level.factor[axis] ?? 1)));
  }
  return places;
}

/** {pixels, from, across, down, width, height} of a tile: pixel (x, y) is pixels[from + x * across + y * down]. `project`: the maximum along z. */
export async function plane(level, axes, { h, v }, places, { chunk: index, box }, project, signal) {
  const [numbers, inside] = [{ ...index }, {}];
  for (const axis in places) {
    numbers[axis] = Math.floor(places[axis] / level.chunks[axis]);
    inside[axis] = places[axis] % level.chunks[axis];
  }
  const read = (z = numbers.z) => chunk(level.array, axes.map((axis) => (axis === "z" ? z : numbers[axis])), signal);
  if (!project) return cut(await read(), level, axes, inside, h, v, box);
  const most = { pixels: null, from: 0, across: 1, down: box.width, width: box.width, height: box.height };
  await Promise.all(Array.from({ length: Math.ceil(level.shape.z / level.chunks.z) }, async (_, z) => {
    const pixels = await read(z);
    most.pixels ??= new pixels.constructor(box.width * box.height).fill(lowest(pixels));
    const planes = Math.min(level.chunks.z, level.shape.z - z * level.chunks.z);
    for (let inner = 0; inner < planes; inner++) raise(most.pixels, cut(pixels, level, axes, { ...inside, z: inner }, h, v, box));
  }));
  return most;
}

function cut(pixels, level, axes, inside, h, v, { left, top, width, height }) {
  const strides = {};
  for (let i = axes.length - 1, stride = 1; i >= 0; stride *= level.array.chunks[i--]) strides[axes[i]] = stride;
  let from = left * strides[h] + top * (strides[v] ?? 0);
  for (const axis of axes) if (axis !== h && axis !== v) from += (inside[axis] ?? 0) * strides[axis];
  return { pixels, from, across: strides[h], down: strides[v] ?? 0, width, height };
}

function raise(target, { pixels, from, across, down, width, height }) {
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0, at = from + y * down; x < width; x++, to++, at += across) if (pixels[at] > target[to]) target[to] = pixels[at];
  }
}

function lowest(pixels) {
  if (pixels instanceof Float32Array || pixels instanceof Float64Array) return -Infinity;
  return { Int8Array: -128, Int16Array: -32768, Int32Array: -2147483648 }[pixels.constructor.name] ?? 0;
}

/** The value of a plane at whole pixels, undefined outside. */
export function valueAt({ pixels, from, across, down, width, height }, x, y) {
  return x >= 0 && y >= 0 && x < width && y < height ? pixels[from + x * across + y * down] : undefined;
}

/** The same plane with its rows one after another, as a texture wants them. */
export function rows(found) {
  const { pixels, from, across, down, width, height } = found;
  if (across === 1) return found;
  const target = new pixels.constructor(width * height);
  for (let y = 0, to = 0; y < height; y++) for (let x = 0; x < width; x++) target[to++] = pixels[from + x * across + y * down];
  return { pixels: target, from: 0, across: 1, down: width, width, height };
}
