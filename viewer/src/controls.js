// The side panel: planes, channels, contrast and colours of the open image. Native inputs, so that keys and readers work.
import { hexOf, rgbOf } from "./color.js";
import { MAX_SHOWN } from "./picture.js";

const AXES = { z: "Depth (z)", t: "Time (t)" };

/** Fills `host` with the controls of `image`; `changed({channels, z, t})` is called with what is to be drawn, also at once. */
export function controls(host, image, changed) {
  const plane = { z: 0, t: 0 };
  const channels = image.channels.map((channel, index) => ({ ...channel, index }));
  const slots = firstSlots(channels);
  const tell = () => changed({ channels: slots.map((index) => channels[index]), ...plane });
  const later = onceAFrame(tell);

  host.replaceChildren();
  for (const axis of ["t", "z"]) {
    if ((image.sizes[axis] ?? 1) === 1) continue;
    plane[axis] = Math.min(image.first[axis], image.sizes[axis] - 1);
    host.append(planeSlider(axis, image.sizes[axis], plane[axis], (value) => {
      plane[axis] = value;
      later();
    }));
  }
  const list = make("div", { className: "channels" });
  host.append(make("h2", { textContent: channels.length === 1 ? "Channel" : "Channels" }), list);
  for (const channel of channels) {
    list.append(channelRow(channel, image.channels[channel.index], (on) => {
      const taken = on ? take(slots, channels, channel.index) : true;
      if (taken) channel.on = on;
      later();
      return taken;
    }, later));
  }
  tell();
}

// Viv draws at most MAX_SHOWN channels: these are loaded, and the ones that are on among them are seen
function firstSlots(channels) {
  const slots = [...channels].sort((a, b) => b.on - a.on || a.index - b.index).slice(0, MAX_SHOWN).map((channel) => channel.index);
  for (const channel of channels) channel.on &&= slots.includes(channel.index);
  return slots.sort((a, b) => a - b);
}

function take(slots, channels, index) {
  if (slots.includes(index)) return true;
  const free = slots.findIndex((slot) => !channels[slot].on);
  if (free < 0) return false;
  slots[free] = index;
  return true;
}

function planeSlider(axis, size, value, changed) {
  const output = make("output", { textContent: `${value + 1} / ${size}` });
  const slider = make("input", { type: "range", min: 0, max: size - 1, step: 1, value, id: `plane-${axis}` });
  slider.setAttribute("aria-valuetext", output.textContent);
  slider.addEventListener("input", () => {
    output.textContent = `${slider.valueAsNumber + 1} / ${size}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    changed(slider.valueAsNumber);
  });
  const label = make("label", { htmlFor: slider.id, textContent: AXES[axis] });
  return make("div", { className: "plane" }, label, output, slider);
}

function channelRow(channel, original, switched, changed) {
  const { name } = channel;
  const row = make("fieldset", { className: "channel" });
  const box = make("input", { type: "checkbox", checked: channel.on });
  const swatch = make("input", { type: "color", value: hexOf(channel.color), title: `Colour of ${name}` });
  swatch.setAttribute("aria-label", `Colour of ${name}`);
  const reset = make("button", { type: "button", textContent: "Reset", title: `${name}: colour and contrast as stored` });
  const note = make("p", { className: "note", role: "status" });
  const whole = channel.range.every(Number.isInteger) && channel.range[1] - channel.range[0] > 2;
  const step = whole ? 1 : (channel.range[1] - channel.range[0]) / 1000;
  const [low, high] = ["from", "to"].map((end, i) => {
    const bounds = { min: channel.range[0], max: channel.range[1], value: channel.limits[i] };
    const slider = make("input", { type: "range", step: whole ? 1 : "any", ...bounds });
    const number = make("input", { type: "number", step: whole ? 1 : "any", ...bounds, value: short(channel.limits[i]) });
    slider.setAttribute("aria-label", `${name}: contrast ${end}`);
    number.setAttribute("aria-label", `${name}: contrast ${end}, as a number`);
    return { slider, number };
  });
  const show = () => {
    box.checked = channel.on;
    swatch.value = hexOf(channel.color);
    row.style.setProperty("--color", swatch.value);
    row.classList.toggle("off", !channel.on);
    [low, high].forEach(({ slider, number }, i) => {
      slider.value = channel.limits[i];
      if (document.activeElement !== number) number.value = short(channel.limits[i]);
    });
    const part = (value) => (value - channel.range[0]) / (channel.range[1] - channel.range[0]);
    row.style.setProperty("--from", part(channel.limits[0]));
    row.style.setProperty("--to", part(channel.limits[1]));
  };
  const set = (i, value) => {
    if (!Number.isFinite(value)) return;
    const limits = [...channel.limits];
    limits[i] = i === 0 ? Math.min(value, limits[1] - step) : Math.max(value, limits[0] + step);
    channel.limits = limits;
    show();
    changed();
  };
  [low, high].forEach(({ slider, number }, i) => {
    slider.addEventListener("input", () => set(i, slider.valueAsNumber));
    number.addEventListener("change", () => set(i, number.valueAsNumber));
    number.addEventListener("blur", show);
  });
  box.addEventListener("change", () => {
    note.textContent = switched(box.checked) ? "" : `At most ${MAX_SHOWN} channels are shown at once: switch another one off first.`;
    show();
  });
  swatch.addEventListener("input", () => {
    channel.color = rgbOf(swatch.value);
    show();
    changed();
  });
  reset.addEventListener("click", () => {
    Object.assign(channel, { color: original.color, limits: original.limits });
    show();
    changed();
  });
  const label = make("label", { title: name }, box, make("span", { textContent: name }));
  row.append(
    make("div", { className: "head" }, swatch, label, reset),
    make("div", { className: "window" }, low.number, make("div", { className: "range" }, low.slider, high.slider), high.number),
    note,
  );
  show();
  return row;
}

const short = (value) => String(Number(value.toPrecision(5)));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function onceAFrame(action) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      action();
    });
  };
}
