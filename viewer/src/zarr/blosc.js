// Blosc 1, as c-blosc writes it: https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
import { decompress as zstd } from "fzstd";
import { inflate } from "./inflate.js";
import { blosclz, lz4 } from "./lz4.js";

const HEADER = 16;
const BYTE_SHUFFLED = 1;
const STORED = 2;
const BIT_SHUFFLED = 4;
const NOT_SPLIT = 16;
const [MAX_SPLITS, LEAST_STREAM] = [16, 128];
const CODECS = [blosclz, lz4, null, (bytes) => inflate(bytes, "deflate"), (bytes, length) => zstd(bytes, new Uint8Array(length))];

export async function blosc(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version, , flags, typesize] = bytes;
  const [length, blocksize, stored] = [4, 8, 12].map((at) => view.getUint32(at, true));
  if (stored > bytes.length || version > 2) throw new Error("a chunk is damaged: it is not all of a Blosc buffer");
  if (flags & STORED) return bytes.slice(HEADER, HEADER + length);
  const codec = CODECS[flags >> 5];
  if (!codec) throw new Error(`a chunk is compressed with ${flags >> 5 === 2 ? "snappy" : "an unknown codec"}, which this page cannot read`);
  const target = new Uint8Array(length);
  for (let block = 0, to = 0; to < length; block++, to += blocksize) {
    const size = Math.min(blocksize, length - to);
    const split = !(flags & NOT_SPLIT) && typesize <= MAX_SPLITS && blocksize / typesize >= LEAST_STREAM && size === blocksize;
    const streams = split ? typesize : 1;
    const part = size / streams;
    const decoded = flags & (BYTE_SHUFFLED | BIT_SHUFFLED) ? new Uint8Array(size) : target.subarray(to, to + size);
    let from = view.getInt32(HEADER + 4 * block, true);
    for (let stream = 0; stream < streams; stream++) {
      const count = view.getInt32(from, true);
      const coded = bytes.subarray(from + 4, from + 4 + count);
      decoded.set(count === part ? coded : await codec(coded, part), stream * part);
      from += 4 + count;
    }
    if (flags & BIT_SHUFFLED) bitUnshuffle(decoded, target.subarray(to, to + size), typesize);
    else if (flags & BYTE_SHUFFLED) unshuffle(decoded, target.subarray(to, to + size), typesize);
  }
  return target;
}

function unshuffle(source, target, typesize) {
  const count = Math.floor(source.length / typesize);
  for (let byte = 0, from = 0; byte < typesize; byte++) for (let at = byte, i = 0; i < count; i++, at += typesize) target[at] = source[from++];
  target.set(source.subarray(count * typesize), count * typesize);
}

// Source: a row of bits for each bit of a value. Of blocks whose values cannot be counted in eights nothing is shuffled.
function bitUnshuffle(source, target, typesize) {
  const count = Math.floor(source.length / typesize);
  if (count % 8) return target.set(source);
  const row = count / 8;
  for (let byte = 0; byte < typesize; byte++) {
    for (let group = 0; group < row; group++) {
      let from = byte * 8 * row + group;
      const bits = () => source[(from += row) - row];
      let low = bits() | (bits() << 8) | (bits() << 16) | (bits() << 24);
      let high = bits() | (bits() << 8) | (bits() << 16) | (bits() << 24);
      // an 8 x 8 matrix of bits is transposed: Hacker's Delight, 7-3
      let swap = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= swap ^ (swap << 7);
      swap = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= swap ^ (swap << 7);
      swap = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= swap ^ (swap << 14);
      swap = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= swap ^ (swap << 14);
      swap = (low & 0x0f0f0f0f) | ((high & 0x0f0f0f0f) << 4);
      high = ((low >>> 4) & 0x0f0f0f0f) | (high & 0xf0f0f0f0);
      low = swap;
      let to = group * 8 * typesize + byte;
      for (let value = 0; value < 8; value++, to += typesize) target[to] = (value < 4 ? low >>> (8 * value) : high >>> (8 * value - 32)) & 255;
    }
  }
  target.set(source.subarray(count * typesize), count * typesize);
}
