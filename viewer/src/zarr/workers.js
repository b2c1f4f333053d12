// As many decoders as the machine has cores for, beside the page itself.

const workers = [];
const waiting = new Map();
let next = 0;

/** The pixels of a chunk, decoded by the next worker; `bytes` is handed over. */
export function decoded(bytes, how, shape) {
  if (!workers.length) {
    const count = Math.min(4, Math.max(1, (navigator.hardwareConcurrency ?? 2) - 1));
    for (let i = 0; i < count; i++) workers.push(start());
  }
  return new Promise((resolve, reject) => {
    const id = next++;
    waiting.set(id, { resolve, reject });
    workers[id % workers.length].postMessage({ id, bytes, how, shape }, [bytes]);
  });
}

function start() {
  const worker = new Worker("decoder.js");
  worker.onmessage = ({ data: { id, pixels, error } }) => {
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error));
    else resolve(pixels);
  };
  worker.onerror = () => {
    for (const { reject } of waiting.values()) reject(new Error("the page's decoder cannot be loaded: is the server still running?"));
    waiting.clear();
  };
  return worker;
}
