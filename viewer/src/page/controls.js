// The side panel of the open image: section, planes, channels, label images.
import { limitsOf } from "../image/histogram.js";
import { channelRow } from "./channel.js";
import { make } from "./dom.js";
import { player } from "./player.js";

const SECTIONS = { xy: "Top (xy)", xz: "Front (xz)", yz: "Side (yz)" };

/** Fills `host`; returns {see()}, which is called when other pixels are in view, and {players()}. */
export function controls(host, scene, { samples, isReady }) {
  const planes = make("div");
  const list = make("div", { className: "channels" });
  let [players, rows] = [[], []];
  const planesNow = () => {
    players = scene.sliders.map((axis) => players.find((one) => one.axis === axis) ?? player(scene, axis, isReady));
    if (planes.childElementCount !== players.length || players.some(({ element }, i) => planes.children[i] !== element)) {
      planes.replaceChildren(...players.map(({ element }) => element));
    }
    for (const one of players) one.show();
  };
  const see = () => rows.forEach((row) => row.see());
  const channelsNow = () => {
    rows = (scene.together ? [scene.channels] : scene.channels.map((channel) => [channel])).map((some) => channelRow(scene, some, samples));
    list.replaceChildren(...rows.map(({ element }) => element));
    see();
  };
  const parts = [sections(scene), planes, ...(scene.asLabels ? [] : [heading(scene, samples, channelsNow), list]), labels(scene)];
  host.replaceChildren(...parts.filter(Boolean));
  planesNow();
  channelsNow();
  scene.listen(() => {
    planesNow();
    for (const row of rows) row.show();
  });
  return { see, players: () => players };
}

function sections(scene) {
  if (scene.sections.length === 1) return null;
  const group = make("fieldset", { className: "sections" }, make("legend", { textContent: "View" }));
  const option = (text, checked, chosen) => {
    const input = make("input", { type: "radio", name: "section", checked });
    input.addEventListener("change", chosen);
    group.append(make("label", {}, input, make("span", { textContent: text })));
  };
  for (const name of scene.sections) {
    option(SECTIONS[name], scene.section === name && !scene.project, () => scene.change(() => Object.assign(scene, { section: name, project: false })));
  }
  option("Maximum", scene.project, () => scene.change(() => Object.assign(scene, { section: "xy", project: true })));
  return group;
}

function heading(scene, samples, changed) {
  const { length } = scene.channels;
  const title = make("h2", { textContent: length === 1 ? "Channel" : "Channels" });
  const tools = make("div", { className: "heading" }, title);
  let show = () => {};
  if (length === 3) {
    const box = make("input", { type: "checkbox", checked: scene.together });
    box.addEventListener("change", () => {
      scene.together = box.checked;
      show();
      changed();
    });
    tools.append(make("label", { title: "Red, green and blue with one brightness" }, box, make("span", { textContent: "As one picture" })));
  }
  if (length > 1) {
    const all = make("button", { type: "button", textContent: "Auto all", title: "Contrast of each channel for what is in view" });
    all.addEventListener("click", () => scene.change(() => {
      for (const channel of scene.shownChannels) {
        const found = limitsOf(samples(channel));
        if (found) channel.limits = found.limits;
      }
    }));
    const back = make("button", { type: "button", textContent: "Reset all", title: "Colour and contrast of each channel as stored" });
    back.addEventListener("click", () => scene.change(() => scene.channels.forEach((channel) => scene.restore(channel))));
    tools.append(all, back);
    show = () => (all.hidden = back.hidden = scene.together); // the one row has its own
    show();
  }
  return tools;
}

function labels(scene) {
  if (!scene.labels.length) return null;
  const group = make("fieldset", { className: "labels" }, make("legend", { textContent: "Labels" }));
  for (const label of scene.labels) {
    const box = make("input", { type: "checkbox", checked: label.on });
    box.addEventListener("change", () => scene.change(() => (label.on = box.checked)));
    group.append(make("label", {}, box, make("span", { textContent: label.name })));
  }
  return group;
}
