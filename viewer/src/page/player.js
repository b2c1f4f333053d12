// A slider for an axis that is not drawn, and the button that runs along it.
import { length, time } from "../image/units.js";
import { make } from "./dom.js";

const NAMES = { t: "Time (t)", z: "Depth (z)", y: "Place (y)", x: "Place (x)" };
const A_STEP = 120; // milliseconds at least

/** {element, show(), toggle()} for `axis` of a scene; `isReady` tells whether the last plane is on the stage. */
export function player(scene, axis, isReady) {
  const size = scene.image.sizes[axis];
  const slider = make("input", { type: "range", min: 0, max: size - 1, step: 1, id: `plane-${axis}` });
  const output = make("output", { for: slider.id });
  const button = make("button", { type: "button", className: "play" });
  let timer = null;
  const toggle = () => {
    timer = timer ? clearInterval(timer) : setInterval(step, A_STEP);
    show();
  };
  const step = () => {
    if (!element.isConnected) return (timer = clearInterval(timer));
    if (isReady()) scene.change(() => (scene.at[axis] = (scene.at[axis] + 1) % size));
  };
  const show = () => {
    slider.value = scene.at[axis];
    output.textContent = [`${scene.at[axis] + 1} / ${size}`, physical(scene.image, axis, scene.at[axis])].filter(Boolean).join(" · ");
    slider.setAttribute("aria-valuetext", output.textContent);
    button.textContent = timer ? "❚❚" : "▶";
    button.setAttribute("aria-label", `${timer ? "Stop" : "Play"} ${NAMES[axis]}`);
  };
  slider.addEventListener("input", () => scene.change(() => (scene.at[axis] = slider.valueAsNumber)));
  button.addEventListener("click", toggle);
  const label = make("label", { for: slider.id, textContent: NAMES[axis] });
  const element = make("div", { className: "plane" }, label, output, make("div", { className: "slide" }, button, slider));
  show();
  return { element, show, toggle, axis };
}

function physical(image, axis, index) {
  const unit = image.units[axis];
  if (!unit) return "";
  const value = image.offset[axis] + index * image.levels[0].spacing[axis];
  return axis === "t" ? time(value, unit) : length(value, unit);
}
