// The keys of the stage, and the list of them for people.
import { make } from "./dom.js";

const STEP = 0.1; // of the stage

/** [keys, what they do in words, action] for what `stage` offers: see main.js. */
export function bindings(stage) {
  const pan = (right, down) => () => stage.camera((camera) => camera.pan(right * STEP * camera.size[0], down * STEP * camera.size[1]));
  const zoom = (steps) => () => stage.camera((camera) => camera.zoomAt(camera.size.map((side) => side / 2), steps));
  return [
    [["ArrowLeft"], "", pan(-1, 0)],
    [["ArrowRight"], "", pan(1, 0)],
    [["ArrowUp"], "", pan(0, -1)],
    [["ArrowDown"], "Arrows: move", pan(0, 1)],
    [["+", "="], "+: closer", zoom(0.5)],
    [["-", "_"], "-: farther", zoom(-0.5)],
    [["0"], "0: whole image", () => stage.camera((camera) => camera.fit())],
    [["o"], "o: a pixel of the image as large as one of the screen", () => stage.camera((camera) => camera.look(camera.target, 0))],
    [["PageUp", "."], "Page up or . : next plane", () => stage.step("across", 1)],
    [["PageDown", ","], "Page down or , : plane before", () => stage.step("across", -1)],
    [["]"], "]: next time", () => stage.step("t", 1)],
    [["["], "[: time before", () => stage.step("t", -1)],
    [[" "], "Space: play and stop", () => stage.play()],
    ...Array.from({ length: 9 }, (_, n) => [[String(n + 1)], n ? "" : "1 to 9: a channel on and off", () => stage.channel(n)]),
    [["a"], "a: contrast for what is in view", () => stage.auto()],
    [["r"], "r: ruler", () => stage.ruler()],
    [["Enter"], "Enter: a point of the ruler in the middle", () => stage.point()],
    [["Backspace"], "Backspace: take it back", () => stage.unpoint()],
    [["s"], "s: save the picture", () => stage.save(true)],
    [["f"], "f: full screen", () => stage.full()],
  ];
}

/** Listens on `host`; what is typed in its buttons and fields stays theirs. */
export function listen(host, keys, isOpen) {
  host.addEventListener("keydown", (event) => {
    const found = keys.find(([names]) => names.includes(event.key));
    if (!found || !isOpen() || event.target !== host || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    found[2]();
  });
}

export const listOf = (keys) => make("ul", { className: "keys" }, ...keys.filter(([, text]) => text).map(([, textContent]) => make("li", { textContent })));
