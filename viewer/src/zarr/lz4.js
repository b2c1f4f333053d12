// The two small codecs of Blosc. Both copy from what they have just written, byte by byte since source and target may overlap.
// LZ4 block format: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md; BloscLZ: c-blosc's blosclz.c, a descendant of FastLZ.

export function lz4(source, length) {
  const target = new Uint8Array(length);
  let [from, to] = [0, 0];
  const more = (count) => {
    if (count < 15) return count;
    for (let byte = 255; byte === 255; ) count += byte = source[from++];
    return count;
  };
  while (from < source.length) {
    const token = source[from++];
    const literals = more(token >> 4);
    target.set(source.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= source.length) break; // the last sequence is literals only
    const back = source[from] | (source[from + 1] << 8);
    from += 2;
    to = repeat(target, to, back, more(token & 15) + 4);
  }
  return whole(target, to);
}

const FAR = 8191;

export function blosclz(source, length) {
  const target = new Uint8Array(length);
  let [from, to] = [1, 0];
  let control = source[0] & 31;
  for (;;) {
    if (control >= 32) {
      let count = (control >> 5) - 1;
      let back = (control & 31) << 8;
      if (count === 6) for (let byte = 255; byte === 255; ) count += byte = source[from++];
      const low = source[from++];
      back += low;
      if (low === 255 && back === FAR) {
        back = FAR + ((source[from] << 8) | source[from + 1]);
        from += 2;
      }
      to = repeat(target, to, back + 1, count + 3);
    } else {
      target.set(source.subarray(from, from + control + 1), to);
      from += control + 1;
      to += control + 1;
    }
    if (from >= source.length) return whole(target, to);
    control = source[from++];
  }
}

function repeat(target, to, back, count) {
  if (!back || back > to || to + count > target.length) throw new Error("a chunk is damaged");
  for (const end = to + count; to < end; to++) target[to] = target[to - back];
  return to;
}

function whole(target, length) {
  if (length !== target.length) throw new Error("a chunk is damaged");
  return target;
}
