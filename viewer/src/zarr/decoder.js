// The script of the workers that decode chunks, so that the page stays free to draw.
import { decode } from "./codecs.js";

onmessage = async ({ data: { id, bytes, how, shape } }) => {
  try {
    const pixels = await decode(new Uint8Array(bytes), how, shape);
    postMessage({ id, pixels }, pixels.buffer.byteLength === pixels.byteLength ? [pixels.buffer] : []);
  } catch (error) {
    postMessage({ id, error: error.message });
  }
};
