// Bytes from the server, or null where there are none (404); what goes wrong is said in words.

export async function bytesAt(url, signal, range) {
  const wanted = range && (range.last ? `bytes=-${range.last}` : `bytes=${range.from}-${range.from + range.length - 1}`);
  let answer;
  try {
    // Chromium's cache would let ranges of one file wait for each other
    answer = await fetch(url, wanted ? { signal, headers: { Range: wanted }, cache: "no-store" } : { signal });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(await reason(answer, url));
    const bytes = await answer.arrayBuffer();
    if (!wanted || answer.status === 206) return bytes;
    return range.last ? bytes.slice(-range.last) : bytes.slice(range.from, range.from + range.length);
  } catch (error) {
    throw error instanceof TypeError ? new Error("the server does not answer: is it still running?") : error;
  }
}

/** Why there are no bytes: in the server's words, where it has some. */
async function reason(answer, url) {
  const said = answer.headers.get("Content-Type")?.startsWith("text/plain") && (await answer.text()).trim();
  return said || `the server answers ${answer.status} to ${decodeURI(new URL(url).pathname)}`;
}

/** The JSON at `url`; with the floats that Python writes and JSON does not know (NaN, Infinity) as null. */
export async function jsonAt(url) {
  const bytes = await bytesAt(url);
  if (!bytes) throw new Error(`${decodeURI(new URL(url).pathname.split("/").slice(-2).join("/"))} is not there`);
  const text = new TextDecoder().decode(bytes);
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(/([:[,]\s*)(NaN|-?Infinity)\b/g, "$1null"));
  }
}
