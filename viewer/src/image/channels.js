// The channels of an image as they are shown first, from its omero block; what that does not say, from the smallest level.
import { chunk } from "../zarr/chunks.js";
import { rgbOf } from "./color.js";
import { limitsOf } from "./histogram.js";

const PALETTE = ["FFFFFF", "FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF"];
const PRIMARIES = ["FF0000", "00FF00", "0000FF"];
const [MOST_PIXELS, SHOWN_AT_FIRST] = [16e6, 6];

/** [{index, name, color, on, limits: [from, to], range: [least, most]}], those of `limits` and `range` in the image's own numbers. */
export async function channelsOf({ omero }, image) {
  const count = image.sizes.c ?? 1;
  const stated = omero.channels ?? [];
  const channels = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const { label, color, active, window } = stated[index] ?? {};
      const { min, max, start = min, end = max } = complete(window) ?? (await seen(image, index));
      return {
        index,
        name: String(label ?? `Channel ${index}`),
        color: rgbOf(color ?? PALETTE[count === 1 ? 0 : 1 + (index % (PALETTE.length - 1))]),
        on: active ?? index < SHOWN_AT_FIRST,
        limits: [start, end],
        range: [Math.min(min ?? start, start), Math.max(max ?? end, end)],
      };
    }),
  );
  if (!channels.some(({ on }) => on)) channels[0].on = true; // a black picture tells nobody anything
  return channels;
}

/** Whether the channels are one picture in colours: red, green and blue, in one window. */
export function isRgb(channels) {
  return channels.length === 3 && channels.every(({ color, limits }, i) =>
    color.join() === rgbOf(PRIMARIES[i]).join() && limits.join() === channels[0].limits.join());
}

function complete(window) {
  const [start, end] = [window?.start ?? window?.min, window?.end ?? window?.max];
  return Number.isFinite(start) && Number.isFinite(end) && start < end ? { ...window, start, end } : null;
}

async function seen(image, index) {
  const { array } = image.levels.at(-1);
  const full = image.dtype === "uint8" ? { min: 0, max: 255 } : { min: 0, max: 1 };
  if (array.chunks.reduce((a, b) => a * b, 1) > MOST_PIXELS) return full;
  // the middle chunk of the middle plane
  const at = image.axes.map((axis, i) => Math.floor((axis === "c" ? index : Math.floor(array.shape[i] / 2)) / array.chunks[i]));
  const pixels = await chunk(array, at);
  const c = image.axes.indexOf("c");
  const inside = c < 0 ? 1 : array.chunks[c];
  const size = array.chunks.slice(c + 1).reduce((a, b) => a * b, 1);
  const own = c === 0 && inside > 1 ? pixels.subarray((index % inside) * size, ((index % inside) + 1) * size) : pixels;
  const found = limitsOf(own, [0.001, 0.999]);
  return found ? { min: found.least, max: found.most, start: found.limits[0], end: found.limits[1] } : full;
}
