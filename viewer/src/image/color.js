/** "FF8000" -> [255, 128, 0] */
export const rgbOf = (hex) => [0, 2, 4].map((at) => Number.parseInt(hex.replace("#", "").slice(at, at + 2), 16));

/** [255, 128, 0] -> "#ff8000" */
export const hexOf = (rgb) => `#${rgb.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
