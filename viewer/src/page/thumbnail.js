// A picture of a few pixels, drawn from the smallest level without the graphics card.
import { placesOf, plane, valueAt } from "../image/planes.js";
import { sectionOf } from "../image/section.js";
import { tilesIn } from "../stage/tiles.js";

const [MOST_TILES, MOST_CHANNELS] = [16, 6];

/** A canvas of at most `side` x `side` pixels with what is `shown` (see Layer.look); null where that would read much. */
export async function smallPicture(image, shown, side, signal) {
  const { section, at } = shown;
  const channels = shown.channels.slice(0, MOST_CHANNELS);
  const level = image.levels.at(-1);
  const [width, height] = [level.shape[section.h], level.shape[section.v] ?? 1];
  const tiles = tilesIn(level, section, { left: 0, top: 0, right: section.width, bottom: section.height * section.stretch });
  if (tiles.length > MOST_TILES || width * height > 16e6) return null;
  const aspect = (section.height * section.stretch) / section.width;
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(side * Math.min(1, 1 / aspect)));
  canvas.height = Math.max(1, Math.round(side * Math.min(1, aspect)));
  const sums = new Float32Array(canvas.width * canvas.height * 3);
  await Promise.all(tiles.flatMap((tile) => channels.map(async ({ index, color, limits: [from, to] }) => {
    const found = await plane(level, image.axes, section, placesOf(level, image.axes, section, at, index), tile, false, signal);
    for (let y = 0, put = 0; y < canvas.height; y++) {
      const row = Math.floor(((y + 0.5) / canvas.height) * height) - tile.top;
      for (let x = 0; x < canvas.width; x++, put += 3) {
        const value = valueAt(found, Math.floor(((x + 0.5) / canvas.width) * width) - tile.left, row);
        const light = Math.min(1, Math.max(0, (value - from) / (to - from)));
        if (light > 0) for (let part = 0; part < 3; part++) sums[put + part] += light * color[part];
      }
    }
  })));
  const drawn = new ImageData(canvas.width, canvas.height);
  for (let i = 0; i < sums.length / 3; i++) drawn.data.set([sums[3 * i], sums[3 * i + 1], sums[3 * i + 2], 255], 4 * i);
  canvas.getContext("2d").putImageData(drawn, 0, 0);
  return canvas;
}

/** What of an image is shown where nobody has chosen anything. */
export const asOpened = (image) => ({ section: sectionOf(image, "xy"), at: image.first, channels: image.channels.filter(({ on }) => on) });
