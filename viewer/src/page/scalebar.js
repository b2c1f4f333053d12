import { METERS, symbolFor } from "../image/units.js";

const ABOUT = 110; // screen pixels

/** The bar for `size` units per screen pixel: {width in screen pixels, text}. Without a unit it counts full-resolution pixels. */
export function scaleBar(size, unit) {
  const meters = METERS[unit];
  const length = size * ABOUT * (meters ?? 1);
  const [symbol, factor] = meters ? symbolFor(length) : [unit ?? "px", 1];
  const wanted = length / factor;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const round = [5, 2, 1].find((digit) => digit * power <= wanted * (1 + 1e-9)) * power;
  return { width: ABOUT * (round / wanted), text: `${Number(round.toPrecision(6))} ${symbol}` };
}
