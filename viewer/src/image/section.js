// The ways to cut an image for a flat screen: which of its axes goes to the right, which down, and which ones sliders choose.

const WAYS = { xy: ["x", "y", "z"], xz: ["x", "z", "y"], yz: ["y", "z", "x"] };

/** {name, h, v, across, width, height, stretch}: axes to the right, down, and into the screen; the size in pixels of level 0, `stretch` times as high. */
export function sectionOf(image, name) {
  const [h, v, across] = WAYS[name];
  const [width, height] = [image.sizes[h], image.sizes[v] ?? 1];
  return { name, h, v, across, width, height, stretch: image.spacing[v] / image.spacing[h] };
}

/** The sections that an image offers. */
export const sectionsOf = (image) => ((image.sizes.z ?? 1) > 1 ? Object.keys(WAYS) : ["xy"]);
