// What draws a tile: a rectangle of the stage, filled with the sum of its channels' colours, or with a colour for each label.

export const VERTEX = `#version 300 es
uniform vec4 bounds; // left, top, right, bottom in clip space
uniform vec2 size;
out vec2 at; // in pixels of the tile
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = corner * size;
  gl_Position = vec4(mix(bounds.xy, bounds.zw, corner), 0., 1.);
}`;

const HEAD = (sampler) => `#version 300 es
precision highp float;
precision highp int;
precision highp ${sampler};
in vec2 at;
out vec4 shown;
uniform vec2 size;
uniform float opacity;
`;

/** The sum of `count` channels, each a linear ramp from limits.x to limits.y; what is no number is dark. `smoothly`: between pixels. */
export const channelsShader = (sampler, count) => `${HEAD(sampler)}
uniform bool smoothly;
uniform vec3 colors[${count}];
uniform vec2 limits[${count}];
${Array.from({ length: count }, (_, i) => `uniform ${sampler} channel${i};`).join("\n")}
float level(${sampler} pixels) {
  ivec2 last = ivec2(size) - 1;
  if (!smoothly) return float(texelFetch(pixels, min(ivec2(at), last), 0).r);
  vec2 place = clamp(at - 0.5, vec2(0.), vec2(last));
  ivec2 a = ivec2(place), b = min(a + 1, last);
  vec2 part = place - vec2(a);
  float top = mix(float(texelFetch(pixels, a, 0).r), float(texelFetch(pixels, ivec2(b.x, a.y), 0).r), part.x);
  float bottom = mix(float(texelFetch(pixels, ivec2(a.x, b.y), 0).r), float(texelFetch(pixels, b, 0).r), part.x);
  return mix(top, bottom, part.y);
}
vec3 light(float value, vec2 range, vec3 color) {
  return isnan(value) ? vec3(0.) : clamp((value - range.x) / max(1e-30, range.y - range.x), 0., 1.) * color;
}
void main() {
  vec3 sum = vec3(0.);
  ${Array.from({ length: count }, (_, i) => `sum += light(level(channel${i}), limits[${i}], colors[${i}]);`).join("\n  ")}
  shown = vec4(min(sum, 1.), 1.) * opacity;
}`;

/** A colour for each label, the same in every image, far from that of the next one; nothing where the label is 0. */
export const labelsShader = (sampler) => `${HEAD(sampler)}
uniform ${sampler} channel0;
void main() {
  uint label = uint(texelFetch(channel0, min(ivec2(at), ivec2(size) - 1), 0).r);
  if (label == 0u) discard;
  uint mixed = label * 2654435769u; // by the golden ratio: neighbours are far apart
  float hue = float(mixed >> 8) / 16777216.;
  float bright = 0.75 + 0.25 * float((label * 40503u >> 8) & 3u) / 3.;
  vec3 color = clamp(abs(fract(hue + vec3(0., 2., 1.) / 3.) * 6. - 3.) - 1., 0., 1.);
  shown = vec4(mix(vec3(1.), color, 0.8) * bright, 1.) * opacity;
}`;
