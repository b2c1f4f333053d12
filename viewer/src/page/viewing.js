// An open image: its scene, and all that shows or changes it, on the stage and beside it.
import { limitsOf } from "../image/histogram.js";
import { openDataset } from "../image/dataset.js";
import { apply, describe } from "./address.js";
import { controls } from "./controls.js";
import { rarely } from "./dom.js";
import { overview } from "./overview.js";
import { Scene } from "./scene.js";

const SAMPLES = 20000;

export class Viewing {
  #closed = false;

  /** `on`: {told(), address(query), failed(message)}: something is to be said of it anew, its address is another, it cannot be shown. */
  constructor(image, picture, query, places, on) {
    Object.assign(this, { image, picture, places, on });
    const scene = (this.scene = new Scene(image));
    scene.labels = image.labels.map((name) => ({ name, image: null, on: false }));
    const place = apply(query, scene);
    picture.show([image], (one) => scene.shown(one));
    if (place) picture.move((camera) => picture.camera.look(place.target, place.zoom));
    this.controls = controls(places.controls, scene, {
      samples: (channel) => picture.layers[0]?.samples(channel.index, SAMPLES) ?? [],
      isReady: () => this.ready,
    });
    this.overview = overview(places.overview, scene, picture);
    this.#remember = rarely(() => this.#closed || on.address(describe(scene, picture.camera)), 250);
    this.#see = rarely(() => this.#closed || this.controls.see(), 200);
    scene.listen(() => this.#changed());
    this.#withLabels();
  }

  #remember;
  #see;

  #changed() {
    this.ready = false;
    this.picture.update();
    this.overview.update();
    this.#withLabels();
    this.#remember();
  }

  // label images are opened once they are asked for
  async #withLabels() {
    const { scene, image } = this;
    for (const label of scene.labels.filter(({ on, image: opened }) => on && !opened)) {
      label.image = {}; // on its way
      try {
        const opened = await openDataset({ name: label.name, url: `${image.url}/labels/${label.name}`, zarr_format: image.format });
        for (const { factor } of opened.levels) for (const axis in factor) factor[axis] *= opened.spacing[axis] / image.spacing[axis] || 1;
        label.image = opened;
      } catch (error) {
        label.image = null;
        label.on = false;
        this.on.failed(`the labels ${label.name} cannot be shown: ${error.message}`);
      }
      if (this.#closed) return;
    }
    this.picture.above(scene.labels.filter(({ on, image: opened }) => on && opened?.levels).map(({ image: opened }) => opened));
  }

  /** The place on the stage is another. */
  moved() {
    this.overview?.show();
    this.#remember?.();
    this.#see?.();
  }

  /** The stage has been drawn. */
  drawn(ready) {
    if (ready && !this.ready) this.#see?.();
    this.ready = ready;
  }

  step(axis, steps) {
    const { sliders } = this.scene;
    const which = axis === "across" ? sliders.find((one) => one !== "t") : sliders.find((one) => one === axis);
    if (which) this.scene.move(which, steps);
  }

  play() {
    (this.controls.players().at(-1))?.toggle();
  }

  auto() {
    this.scene.change((scene) => {
      for (const group of scene.together ? [scene.channels] : scene.shownChannels.map((channel) => [channel])) {
        const found = limitsOf(group.flatMap(({ index }) => this.picture.layers[0].samples(index, SAMPLES)));
        if (found) for (const channel of group) channel.limits = found.limits;
      }
    });
  }

  /** Switches the channel of this number, where there is one. */
  channel(n) {
    const channel = this.scene.channels[n];
    if (channel && !this.scene.asLabels) this.scene.switch(channel, !channel.on);
  }

  close() {
    this.#closed = true;
    this.picture.clear();
    this.places.controls.replaceChildren();
    this.places.overview.hidden = true;
  }
}
