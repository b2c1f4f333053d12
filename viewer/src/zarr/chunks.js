// Decoded chunks: each is asked for once, whoever needs it, kept as long as there is room, and given up when nobody wants it any more.
import { filled } from "./dtypes.js";
import { bytesAt } from "./http.js";
import { rangeOf } from "./shards.js";
import { decoded } from "./workers.js";

const KEPT = 256e6; // bytes
const AT_ONCE = 12; // a browser sends six to one server of HTTP/1.1; the others wait for their turn there

const kept = new Map();
const asked = new Map();
const queue = [];
let running = 0;
let size = 0;

/** The numbers of the chunk at these indices of `array`, in the order of its axes. Rejects with an AbortError once `signal` says so. */
export function chunk(array, at, signal) {
  const key = `${array.url}/${at}`;
  const pixels = kept.get(key);
  if (pixels) {
    kept.delete(key);
    kept.set(key, pixels);
    return Promise.resolve(pixels);
  }
  let entry = asked.get(key);
  if (!entry) {
    entry = { array, at, key, waiting: 0, stop: new AbortController() };
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    entry.promise.catch(() => {});
    asked.set(key, entry);
    queue.push(entry);
    advance();
  }
  entry.waiting++;
  return new Promise((resolve, reject) => {
    entry.promise.then(resolve, reject);
    signal?.addEventListener("abort", () => {
      reject(signal.reason);
      if (--entry.waiting === 0) giveUp(entry);
    }, { once: true });
  });
}

function giveUp(entry) {
  if (asked.get(entry.key) !== entry) return;
  asked.delete(entry.key);
  if (queue.includes(entry)) queue.splice(queue.indexOf(entry), 1);
  entry.stop.abort();
}

function advance() {
  while (running < AT_ONCE && queue.length) {
    const entry = queue.shift();
    running++;
    read(entry.array, entry.at, entry.stop.signal)
      .then((pixels) => {
        if (asked.get(entry.key) === entry) keep(entry.key, pixels);
        entry.resolve(pixels);
      }, entry.reject)
      .finally(() => {
        if (asked.get(entry.key) === entry) asked.delete(entry.key);
        running--;
        advance();
      });
  }
}

async function read(array, at, signal) {
  const place = array.shard ? await rangeOf(array, at) : { url: `${array.url}/${array.keyOf(at)}` };
  signal.throwIfAborted();
  const bytes = place && (await bytesAt(place.url, signal, place.range));
  if (!bytes) return (array.blank ??= filled(array.chunks.reduce((a, b) => a * b, 1), array.dtype, array.fill));
  return decoded(bytes, array.how, array.chunks);
}

function keep(key, pixels) {
  kept.set(key, pixels);
  size += pixels.byteLength;
  for (const [oldest, { byteLength }] of kept) {
    if (size <= KEPT || oldest === key) break;
    kept.delete(oldest);
    size -= byteLength;
  }
}
