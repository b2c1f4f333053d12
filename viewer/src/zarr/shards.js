// Where in its shard a chunk is: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
import { bytesAt } from "./http.js";

const ABSENT = 2n ** 64n - 1n;
const KEPT = 4096; // indices
const indices = new Map();

/** {url, range} of the chunk at these indices, null where it is not stored. The index of a shard is asked for once. */
export async function rangeOf(array, at) {
  const { perShard, atStart, checked } = array.shard;
  const url = `${array.url}/${array.keyOf(at.map((index, i) => Math.floor(index / perShard[i])))}`;
  const view = await indexAt(url, perShard.reduce((a, b) => a * b, 16) + (checked ? 4 : 0), atStart);
  if (!view) return null;
  const place = 16 * at.reduce((sum, index, i) => sum * perShard[i] + (index % perShard[i]), 0);
  const [from, length] = [view.getBigUint64(place, true), view.getBigUint64(place + 8, true)];
  return from === ABSENT ? null : { url, range: { from: Number(from), length: Number(length) } };
}

function indexAt(url, length, atStart) {
  let index = indices.get(url);
  if (!index) {
    // not the signal of who asks first: others may wait for the same index
    index = bytesAt(url, undefined, atStart ? { from: 0, length } : { last: length }).then((bytes) => bytes && new DataView(bytes));
    index.catch(() => indices.delete(url));
    indices.set(url, index);
    if (indices.size > KEPT) indices.delete(indices.keys().next().value);
  }
  return index;
}
