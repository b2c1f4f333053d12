// What is on the stage as a PNG file, with the scale bar or without.

/** Saves the picture; `bar` is {width, text} or null. */
export async function snapshot(picture, name, bar) {
  const drawn = picture.now();
  const canvas = Object.assign(document.createElement("canvas"), { width: drawn.width, height: drawn.height });
  const context = canvas.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(drawn, 0, 0);
  if (bar) drawBar(context, bar, canvas.height, drawn.width / drawn.clientWidth);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name.replace(/(\.ome)?\.zarr$/, "").replaceAll("/", "_")}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  return link;
}

function drawBar(context, { width, text }, height, density) {
  const [left, bottom, length] = [16 * density, height - 16 * density, width * density];
  context.font = `${14 * density}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillStyle = "#000b";
  context.fillRect(left - 8 * density, bottom - 32 * density, length + 16 * density, 40 * density);
  context.fillStyle = "#fff";
  context.fillText(text, left + length / 2, bottom - 12 * density);
  context.fillRect(left, bottom - 5 * density, length, 5 * density);
}
