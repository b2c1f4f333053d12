// Units of length and time as NGFF names them (those of UDUNITS-2), and lengths as people write them.

export const METERS = {
  picometer: 1e-12, angstrom: 1e-10, nanometer: 1e-9, micrometer: 1e-6, millimeter: 1e-3, centimeter: 1e-2, decimeter: 0.1, meter: 1,
  kilometer: 1e3, inch: 0.0254, foot: 0.3048,
};
const SECONDS = { nanosecond: 1e-9, microsecond: 1e-6, millisecond: 1e-3, second: 1, minute: 60, hour: 3600, day: 86400 };
const SYMBOLS = [["km", 1e3], ["m", 1], ["mm", 1e-3], ["µm", 1e-6], ["nm", 1e-9], ["pm", 1e-12]];

/** The unit in which to say a length of `meters`: [symbol, meters]. */
export const symbolFor = (meters) => SYMBOLS.find(([, size]) => Math.abs(meters) >= size) ?? SYMBOLS.at(-1);

/** 0.0000123 with "meter" -> "12.3 µm"; the unit's own name, or px, where it is no length. `power` 2 is for areas. */
export function length(value, unit, power = 1) {
  const meters = METERS[unit];
  const suffix = power === 2 ? "²" : "";
  if (!meters) return `${short(value)} ${unit ?? "px"}${suffix}`;
  const [symbol, size] = value ? symbolFor(Math.abs(value) ** (1 / power) * meters) : ["µm", 1e-6];
  return `${short(value * (meters / size) ** power)} ${symbol}${suffix}`;
}

/** A time in seconds; a count of frames where no unit says what it is. */
export function time(value, unit) {
  return SECONDS[unit] ? `${short(value * SECONDS[unit])} s` : "";
}

/** At most five digits, which say more than a screen can show. */
export const short = (value) => String(Number(value.toPrecision(5)));
