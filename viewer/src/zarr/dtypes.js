// Zarr's data types as typed arrays, and as what a texture and a number can hold.

const ARRAYS = {
  bool: Uint8Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, uint32: Uint32Array, int32: Int32Array,
  uint64: BigUint64Array, int64: BigInt64Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array,
};
const V2_KINDS = { b: "bool", u: "uint", i: "int", f: "float", c: "complex" };

/** "<u2" -> {dtype: "uint16", endian: "little"}, "|b1" -> {dtype: "bool", endian: "little"} */
export function typeOfV2(text) {
  const [, order, kind, size] = /^([<>|])(.)(\d+)$/.exec(text) ?? [];
  const name = V2_KINDS[kind] === "bool" ? "bool" : `${V2_KINDS[kind] ?? text}${kind in V2_KINDS ? 8 * size : ""}`;
  return { dtype: name, endian: order === ">" ? "big" : "little" };
}

export const isKnown = (dtype) => dtype in ARRAYS;
export const isFloat = (dtype) => dtype.startsWith("float");
export const bytesOf = (dtype) => ARRAYS[dtype].BYTES_PER_ELEMENT;

/** Bytes as they are stored to the numbers that they are: a typed array, in which 64-bit integers have become float64. */
export function numbersOf(bytes, dtype, endian) {
  const size = bytesOf(dtype);
  if (endian === "big" && size > 1) swap(bytes, size);
  const whole = bytes.byteOffset % size ? bytes.slice() : bytes;
  const values = new ARRAYS[dtype](whole.buffer, whole.byteOffset, whole.byteLength / size);
  if (dtype === "float16") return Float32Array.from(values, half);
  return dtype.endsWith("int64") ? Float64Array.from(values, Number) : values;
}

/** A chunk that is not stored: `fill_value` everywhere. */
export function filled(length, dtype, value) {
  const values = new (dtype === "float16" ? Float32Array : dtype.endsWith("int64") ? Float64Array : ARRAYS[dtype])(length);
  return Number(value) ? values.fill(Number(value)) : values;
}

function swap(bytes, size) {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

function half(bits) {
  const [sign, power, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (power === 31) return fraction ? NaN : sign * Infinity;
  return sign * (power ? 2 ** (power - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
}
