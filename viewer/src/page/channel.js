// One channel's row: on, colour, alone; its window over the histogram of what is in view. Native inputs, so that keys and readers work.
import { counts, limitsOf } from "../image/histogram.js";
import { hexOf, rgbOf } from "../image/color.js";
import { MAX_CHANNELS } from "../stage/renderer.js";
import { draw, make } from "./dom.js";

const BINS = 64;

/** {element, show(), see(values)} for `channels` of a scene: one, or those of a picture in colours, which share a window. */
export function channelRow(scene, channels, samples) {
  const [channel] = channels;
  const one = channels.length === 1;
  const name = one ? channel.name : "Brightness";
  const row = make("fieldset", { className: "channel" }, make("legend", { className: "aside", textContent: name }));
  const button = (text, title, action) => {
    const made = make("button", { type: "button", textContent: text, title, "aria-label": `${text} ${name}: ${title}` });
    made.addEventListener("click", action);
    return made;
  };
  const set = (limits) => scene.change(() => {
    for (const one of channels) one.limits = limits;
  });
  const auto = button("Auto", "contrast for what is in view", () => {
    const found = limitsOf(channels.flatMap((each) => samples(each)));
    if (found) set(found.limits);
  });
  const reset = button("Reset", one ? "colour and contrast as stored" : "contrast as stored", () => scene.change(() => channels.forEach((each) => scene.restore(each))));
  const head = one ? switches(scene, channel) : { elements: [make("span", { className: "name", textContent: name })], show: () => {} };
  const alone = one && scene.channels.length > 1
    ? button("Solo", "alone, or again with the others", () => scene.alone(channel)) : null;
  const window = contrast(name, channel, set, scene.image.isFloat);
  row.append(make("div", { className: "head" }, ...head.elements, ...(alone ? [alone] : []), auto, reset), window.element, ...(head.note ? [head.note] : []));
  const show = () => {
    row.style.setProperty("--color", one ? hexOf(channel.color) : "var(--bright)");
    row.classList.toggle("off", one && !channel.on);
    alone?.setAttribute("aria-pressed", scene.solo?.only === channel);
    head.show();
    window.show();
  };
  show();
  return { element: row, show, see: () => window.see(channels.flatMap((each) => (each.on ? samples(each) : []))) };
}

// in full where that is short: 0.00001234 is 1.234e-5
function written(value) {
  const rounded = Number(value.toPrecision(8));
  return rounded && Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded);
}

function switches(scene, channel) {
  const box = make("input", { type: "checkbox" });
  const swatch = make("input", { type: "color", title: `Colour of ${channel.name}`, "aria-label": `Colour of ${channel.name}` });
  const note = make("p", { className: "note", role: "status" });
  box.addEventListener("change", () => {
    const done = scene.switch(channel, box.checked);
    note.textContent = done ? "" : `At most ${MAX_CHANNELS} channels are shown at once: switch another one off first.`;
    if (!done) box.checked = channel.on;
  });
  swatch.addEventListener("input", () => scene.change(() => (channel.color = rgbOf(swatch.value))));
  const show = () => {
    box.checked = channel.on;
    swatch.value = hexOf(channel.color);
  };
  return { elements: [swatch, make("label", { title: channel.name }, box, make("span", { textContent: channel.name }))], note, show };
}

function contrast(name, channel, set, isFloat) {
  const whole = !isFloat;
  const ends = ["from", "to"].map((end, i) => {
    const slider = make("input", { type: "range", step: whole ? 1 : "any", "aria-label": `${name}: contrast ${end}` });
    const number = make("input", { type: "number", step: whole ? 1 : "any", "aria-label": `${name}: contrast ${end}, as a number` });
    const take = (value) => {
      if (!Number.isFinite(value)) return;
      const limits = [...channel.limits];
      const least = whole ? 1 : Math.max((channel.range[1] - channel.range[0]) * 1e-6, Number.MIN_VALUE);
      limits[i] = i === 0 ? Math.min(value, limits[1] - least) : Math.max(value, limits[0] + least);
      set(limits);
    };
    slider.addEventListener("input", () => take(slider.valueAsNumber));
    number.addEventListener("change", () => take(number.valueAsNumber));
    number.addEventListener("blur", () => show());
    return { slider, number };
  });
  const path = draw("path");
  const histogram = draw("svg", { viewBox: `0 0 ${BINS} 1`, preserveAspectRatio: "none", "aria-hidden": "true" }, path);
  const range = make("div", { className: "range" }, histogram, ends[0].slider, ends[1].slider);
  const element = make("div", { className: "window" }, range, make("div", { className: "numbers" }, ends[0].number, ends[1].number));
  const widen = (...values) => (channel.range = [Math.min(channel.range[0], ...values), Math.max(channel.range[1], ...values)]);
  const show = () => {
    const [from, to] = widen(...channel.limits);
    ends.forEach(({ slider, number }, i) => {
      Object.assign(slider, { min: from, max: to, value: channel.limits[i] });
      if (document.activeElement !== number) number.value = written(channel.limits[i]);
    });
    for (const [property, value] of [["--from", channel.limits[0]], ["--to", channel.limits[1]]]) {
      element.style.setProperty(property, to > from ? (value - from) / (to - from) : 0);
    }
  };
  const see = (values) => {
    const found = limitsOf(values);
    if (found) {
      widen(found.least, found.most);
      show();
    }
    const heights = counts(values, channel.range, BINS);
    const top = Math.log1p(heights.reduce((a, b) => Math.max(a, b), 1)); // by their logarithms: a rare value is seen too
    path.setAttribute("d", `M0 1${[...heights].map((count, i) => `V${(1 - Math.log1p(count) / top).toFixed(3)}H${i + 1}`).join("")}V1Z`);
  };
  return { element, show, see };
}
