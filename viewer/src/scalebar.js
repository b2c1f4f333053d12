export const METERS = {
  angstrom: 1e-10, nanometer: 1e-9, micrometer: 1e-6, millimeter: 1e-3, centimeter: 1e-2, decimeter: 0.1, meter: 1, kilometer: 1e3,
  picometer: 1e-12, inch: 0.0254, foot: 0.3048,
};
const SHOWN = [["km", 1e3], ["m", 1], ["mm", 1e-3], ["µm", 1e-6], ["nm", 1e-9], ["pm", 1e-12]];
const ABOUT = 110; // screen pixels

/** The bar for `size` units per screen pixel: {width in screen pixels, text}. Without a unit it counts full-resolution pixels. */
export function scaleBar(size, unit) {
  const meters = METERS[unit];
  const length = size * ABOUT * (meters ?? 1);
  const [symbol, factor] = meters
    ? SHOWN.find(([, factor]) => length >= factor) ?? SHOWN.at(-1)
    : [unit ?? "px", 1];
  const wanted = length / factor;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const round = [5, 2, 1].find((digit) => digit * power <= wanted * (1 + 1e-9)) * power;
  return { width: ABOUT * (round / wanted), text: `${Number(round.toPrecision(6))} ${symbol}` };
}
