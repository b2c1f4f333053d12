// What the metadata of an image says, whatever its version: NGFF 0.1 to 0.5, and 0.6 with its coordinate systems.
// https://ngff.openmicroscopy.org/specifications/index.html
const IMPLIED = ["t", "c", "z", "y", "x"]; // of 0.1 and 0.2

/** {version, name, axes: [{name, unit}], levels: [{path, scale, offset}], omero, label, said} of a group's attributes. */
export function imageOf(attributes) {
  const stated = attributes.ome ?? attributes;
  const [image] = stated.multiscales ?? [];
  if (!image?.datasets?.length) throw new Error("its metadata names no multiscales");
  const version = String(stated.version ?? image.version ?? "");
  const axes = axesOf(image).map((axis) => (typeof axis === "string" ? { name: axis } : axis));
  const whole = steps(image.coordinateTransformations, axes.length);
  return {
    version,
    name: image.name,
    axes,
    levels: image.datasets.map(({ path, coordinateTransformations }) => {
      const own = steps(coordinateTransformations, axes.length);
      return { path, scale: own.scale.map((value, i) => value * whole.scale[i]), offset: own.offset.map((value, i) => value * whole.scale[i] + whole.offset[i]) };
    }),
    scaled: Boolean(image.datasets[0].coordinateTransformations),
    omero: stated.omero ?? {},
    label: stated["image-label"] ?? attributes["image-label"] ?? null,
    said: { downsampling: image.type, ...scalars(image.metadata) },
  };
}

function axesOf(image) {
  if (image.axes) return image.axes;
  const systems = image.coordinateSystems;
  if (!systems) return IMPLIED;
  const output = image.datasets[0].coordinateTransformations?.[0]?.output;
  return (systems.find(({ name }) => name === (output?.name ?? output)) ?? systems[0]).axes;
}

// scale and translation of transformations that follow one another, each axis for itself
function steps(transformations, count) {
  let [scale, offset] = [Array(count).fill(1), Array(count).fill(0)];
  const go = (list) => {
    for (const { type, scale: factors, translation, transformations: inner } of list ?? []) {
      if (type === "scale" && factors) [scale, offset] = [scale.map((value, i) => value * factors[i]), offset.map((value, i) => value * factors[i])];
      else if (type === "translation" && translation) offset = offset.map((value, i) => value + translation[i]);
      else if (type === "sequence") go(inner);
      else if (type !== "identity") throw new Error(`its pixels are placed by a transformation named ${type}, which this page cannot follow`);
    }
  };
  go(transformations);
  return { scale, offset };
}

const scalars = (stated = {}) => Object.fromEntries(Object.entries(stated ?? {}).filter(([, value]) => ["string", "number"].includes(typeof value)));
