// Groups and arrays of Zarr v2 and v3.
// https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
import { chain } from "./codecs.js";
import { isKnown, typeOfV2 } from "./dtypes.js";
import { jsonAt } from "./http.js";

/** The attributes of the group at `url`. */
export async function openGroup(url, format) {
  return format === 2 ? jsonAt(`${url}/.zattrs`) : ((await jsonAt(`${url}/zarr.json`)).attributes ?? {});
}

/** {url, format, shape, chunks, dtype, fill, how, keyOf, codec, shard}: `chunks` is what is decoded at once, `shard` what is stored under one key. */
export async function openArray(url, format) {
  const array = format === 2 ? ofV2(await jsonAt(`${url}/.zarray`)) : ofV3(await jsonAt(`${url}/zarr.json`));
  if (!isKnown(array.dtype)) throw new Error(`its pixels are ${array.dtype}, which cannot be shown here`);
  return { url, format, how: chain(array.codecs, array.dtype), ...array };
}

function ofV2({ shape, chunks, dtype, fill_value: fill, order, filters, compressor, dimension_separator: separator = "." }) {
  const { dtype: name, endian } = typeOfV2(dtype);
  const codecs = [
    ...(order === "F" ? [{ name: "transpose", configuration: { order: shape.map((_, i) => i).reverse() } }] : []),
    { name: "bytes", configuration: { endian } },
    ...[...(filters ?? []), ...(compressor ? [compressor] : [])].map(({ id }) => ({ name: id })),
  ];
  return { shape, chunks, dtype: name, fill, codecs, codec: nameOf(compressor?.id, compressor ?? {}), keyOf: (at) => at.join(separator) || "0", shard: null };
}

function ofV3({ shape, data_type: dtype, chunk_grid: grid, chunk_key_encoding: encoding, fill_value: fill, codecs }) {
  if (grid.name !== "regular") throw new Error(`its chunks are on a grid named ${grid.name}, which this page cannot read`);
  const { name: keys, configuration: { separator } = {} } = encoding;
  const keyOf = keys === "v2" ? (at) => at.join(separator ?? ".") || "0" : (at) => ["c", ...at].join(separator ?? "/");
  const outer = grid.configuration.chunk_shape;
  const sharding = codecs.find(({ name }) => name === "sharding_indexed")?.configuration;
  if (sharding && codecs.length > 1) throw new Error("its shards are compressed or transposed as a whole, which this page cannot read");
  const inner = sharding?.codecs ?? codecs;
  const last = inner.findLast(({ name }) => !["bytes", "crc32c"].includes(name));
  return {
    shape, dtype: String(dtype?.name ?? dtype), fill, keyOf, codecs: inner, codec: nameOf(last?.name, last?.configuration),
    chunks: sharding?.chunk_shape ?? outer,
    shard: sharding && {
      shape: outer,
      perShard: outer.map((side, i) => side / sharding.chunk_shape[i]),
      atStart: sharding.index_location === "start",
      checked: (sharding.index_codecs ?? []).some(({ name }) => name === "crc32c"),
    },
  };
}

function nameOf(id, { cname, clevel, level } = {}) {
  if (!id) return "none";
  return [id.replace("numcodecs.", ""), cname, clevel ?? level].filter((part) => part !== undefined).join(" ");
}
