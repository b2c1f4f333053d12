// What is shown of an image, as a person has chosen it: section, plane, channels. All that can be shared in a link but the place.
import { isRgb } from "../image/channels.js";
import { sectionOf, sectionsOf } from "../image/section.js";
import { MAX_CHANNELS } from "../stage/renderer.js";

export class Scene {
  #listeners = [];

  constructor(image) {
    this.image = image;
    this.at = Object.fromEntries(["t", "z", "y", "x"].map((axis) => [axis, Math.min(image.first[axis], (image.sizes[axis] ?? 1) - 1)]));
    this.section = "xy";
    this.project = false;
    this.channels = image.channels.map((channel) => ({ ...channel, range: [...channel.range] }));
    this.together = isRgb(image.channels); // one picture in colours
    this.asLabels = image.isLabel;
    this.labels = []; // {name, image, on} of label images above this one
    this.solo = null; // the channels that were on before one was shown alone
    for (const channel of this.shownChannels.slice(MAX_CHANNELS)) channel.on = false;
  }

  get sections() {
    return sectionsOf(this.image);
  }

  get shownChannels() {
    return this.channels.filter(({ on }) => on);
  }

  /** The axes that sliders choose. */
  get sliders() {
    const across = sectionOf(this.image, this.section).across;
    return ["t", ...(this.project ? [] : [across])].filter((axis) => (this.image.sizes[axis] ?? 1) > 1);
  }

  /** What Layer.look takes, for this image or a label image above it. */
  shown(image) {
    const common = { section: sectionOf(this.image, this.section), at: this.at, project: this.project };
    if (image === this.image) return { ...common, channels: this.asLabels ? this.channels.slice(0, 1) : this.shownChannels, labels: this.asLabels };
    return { ...common, channels: [{ index: 0 }], labels: true, opacity: 0.6, project: false };
  }

  listen(listener) {
    this.#listeners.push(listener);
  }

  /** Changes this scene by `how`, and tells everyone. */
  change(how) {
    how(this);
    for (const listener of this.#listeners) listener();
  }

  move(axis, steps) {
    const last = (this.image.sizes[axis] ?? 1) - 1;
    const to = Math.min(last, Math.max(0, this.at[axis] + steps));
    if (to !== this.at[axis]) this.change(() => (this.at[axis] = to));
  }

  /** Switches a channel; false where as many are on as can be drawn. */
  switch(channel, on) {
    if (on && this.shownChannels.length >= MAX_CHANNELS) return false;
    this.change(() => {
      channel.on = on;
      this.solo = null;
    });
    return true;
  }

  /** Gives a channel the colour and contrast that are stored; part of a change. */
  restore(channel) {
    const { color, limits } = this.image.channels[channel.index];
    Object.assign(channel, { color, limits });
  }

  /** Shows one channel alone, or again those that were on before. */
  alone(channel) {
    const back = this.solo?.only === channel ? this.solo.before : null;
    const before = this.solo?.before ?? this.channels.map(({ on }) => on);
    this.change(() => {
      this.channels.forEach((one, i) => (one.on = back ? back[i] : one === channel));
      this.solo = back ? null : { only: channel, before };
    });
  }
}
