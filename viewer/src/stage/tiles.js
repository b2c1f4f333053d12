// Which level, and which parts of its chunks, a view needs.

const LARGEST = 2048; // pixels of a side: less than any graphics card's largest texture
const SHARP = 2 ** 0.25; // screen pixels that a pixel may be wide: nobody sees more, and a finer level is four times as much to load
const [MOST_CHUNKS, MOST_VOXELS] = [600, 64e6]; // of a view that reads more than it shows

/** The coarsest level whose pixels are about as small as the screen's, or a coarser one where that would read too much. */
export function levelFor(levels, section, camera, density, deep) {
  const { h } = section;
  let k = levels.findLastIndex(({ factor }) => factor[h] * camera.scale * density <= SHARP);
  if (k < 0) k = 0;
  while (k < levels.length - 1 && isTooMuch(levels[k], section, camera.view, deep)) k++;
  return k;
}

function isTooMuch(level, section, view, deep) {
  if (section.name === "xy" && !deep) return false;
  const { length } = tilesIn(level, section, view);
  const depth = deep ? Math.ceil(level.shape.z / level.chunks.z) : 1;
  return length * depth > MOST_CHUNKS || length * depth * level.array.chunks.reduce((a, b) => a * b, 1) > MOST_VOXELS;
}

/**
 * The tiles of `level` in `view` (of the section, in widths of a pixel of level 0), those in the middle first. Each: {i, j}, its number;
 * {left, top, width, height} in pixels of the level; chunk: {h, v}, which one it is of; box: the same rectangle within that chunk.
 */
export function tilesIn(level, section, view) {
  const across = cuts(level, section.h, view.left, view.right);
  const down = cuts(level, section.v, view.top / section.stretch, view.bottom / section.stretch);
  const tiles = [];
  for (const y of down) {
    for (const x of across) {
      tiles.push({
        i: x.index, j: y.index, left: x.from, top: y.from, width: x.length, height: y.length,
        chunk: { [section.h]: x.chunk, [section.v]: y.chunk }, box: { left: x.inside, top: y.inside, width: x.length, height: y.length },
      });
    }
  }
  const middle = [(view.left + view.right) / 2 / level.factor[section.h], (view.top + view.bottom) / 2 / section.stretch / level.factor[section.v]];
  const distance = ({ left, top, width, height }) => Math.hypot(left + width / 2 - middle[0], top + height / 2 - middle[1]);
  return tiles.sort((a, b) => distance(a) - distance(b));
}

// chunks along one axis, those that are too large in parts of the same size
function cuts(level, axis, from, to) {
  const [size, chunk, factor] = [level.shape[axis] ?? 1, level.chunks[axis] ?? 1, level.factor[axis] ?? 1];
  const parts = Math.ceil(chunk / LARGEST);
  const side = Math.ceil(chunk / parts);
  const found = [];
  const numberOf = (at) => Math.floor(at / chunk) * parts + Math.floor((at % chunk) / side);
  const last = Math.min(size - 1, Math.ceil(to / factor) - 1);
  if (last < 0) return found;
  for (let index = numberOf(Math.min(size - 1, Math.max(0, Math.floor(from / factor)))); index <= numberOf(last); index++) {
    const [whole, part] = [Math.floor(index / parts), index % parts];
    const inside = part * side;
    const start = whole * chunk + inside;
    found.push({ index, chunk: whole, inside, from: start, length: Math.min(side, chunk - inside, size - start) });
  }
  return found;
}
