// Counts of pixel values, and the window that shows most of them.
const [LOW, HIGH] = [0.001, 0.998];

/** {limits: the values below which these parts of all lie, least, most}; null where there is no finite value. A constant's window is 1 wide. */
export function limitsOf(values, [low, high] = [LOW, HIGH]) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  if (!sorted.length) return null;
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  const [least, most] = [sorted[0], sorted.at(-1)];
  const limits = at(low) < at(high) ? [at(low), at(high)] : least < most ? [least, most] : [least, least + 1];
  return { limits, least, most };
}

/** How many of `values` are in each of `bins` equal parts of `range`. */
export function counts(values, [from, to], bins) {
  const found = new Uint32Array(bins);
  const scale = bins / (to - from);
  for (const value of values) {
    const bin = Math.floor((value - from) * scale);
    if (bin >= 0 && value <= to) found[Math.min(bin, bins - 1)]++;
  }
  return found;
}
