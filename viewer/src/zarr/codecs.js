// What the bytes of a chunk go through, by the `codecs` of Zarr v3 or the `compressor` of v2: undone from the last to the first.
import { decompress as zstd } from "fzstd";
import { blosc } from "./blosc.js";
import { numbersOf } from "./dtypes.js";
import { inflate } from "./inflate.js";
import { lz4 } from "./lz4.js";

const BYTES = {
  blosc,
  zstd: (bytes) => zstd(bytes),
  gzip: (bytes) => inflate(bytes, "gzip"),
  zlib: (bytes) => inflate(bytes, "deflate"),
  // numcodecs puts the length before the block
  lz4: (bytes) => lz4(bytes.subarray(4), new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true)),
  crc32c: (bytes) => bytes.subarray(0, -4),
};

/** {dtype, endian, order, steps} of `codecs`, that decode() takes. Throws an Error that names the codec that this page does not know. */
export function chain(codecs, dtype) {
  const how = { dtype, endian: "little", order: null, steps: [] };
  for (const { name: stated, configuration = {} } of codecs) {
    const name = stated.replace(/^numcodecs\./, "");
    if (name === "transpose") how.order = configuration.order;
    else if (name === "bytes") how.endian = configuration.endian ?? "little";
    else if (name in BYTES) how.steps.push(name);
    else throw new Error(`its chunks are stored with the codec ${name}, which this page cannot read`);
  }
  return how;
}

/** The numbers of a chunk of `shape`, in the order of its axes. */
export async function decode(bytes, { dtype, endian, order, steps }, shape) {
  for (const name of [...steps].reverse()) bytes = await BYTES[name](bytes);
  const numbers = numbersOf(bytes, dtype, endian);
  if (numbers.length !== shape.reduce((a, b) => a * b, 1)) throw new Error("a chunk is damaged: it has not as many pixels as it should");
  return order && order.some((axis, i) => axis !== i) ? inOrder(numbers, shape, order) : numbers;
}

// stored axis i is axis order[i]
function inOrder(numbers, shape, order) {
  const strides = [];
  for (let i = order.length - 1, stride = 1; i >= 0; stride *= shape[order[i--]]) strides[order[i]] = stride;
  const target = new numbers.constructor(numbers.length);
  const index = shape.map(() => 0);
  for (let to = 0, from = 0; to < target.length; to++) {
    target[to] = numbers[from];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return target;
}
