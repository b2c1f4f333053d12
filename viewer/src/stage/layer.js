// One image on the stage: asks for the tiles that are in view, gives up those that are not any more, and draws what is there.
import { placesOf, plane, rows, valueAt } from "../image/planes.js";
import { levelFor, tilesIn } from "./tiles.js";

const KEPT = 192e6; // bytes of textures
const A_FRAME = 8e6; // bytes of new textures
const REST = 120; // milliseconds that a level must stay the one that is shown before its tiles are asked for

export class Layer {
  level = 0;
  #wanted = new Map(); // id: what to load, of all tiles in view
  #loading = new Map();
  #planes = new Map(); // id: {plane, texture}; used last is last
  #failed = new Map();
  #bytes = 0;
  #left = 0;
  #asked = null; // the level whose tiles were asked for last
  #rest = 0; // a timer

  /** `changed` is called when there is more to draw. */
  constructor(image, renderer, changed) {
    Object.assign(this, { image, renderer, changed });
  }

  /** Takes what is to be shown: {section, at: {t, z, y, x}, project, channels, labels, opacity}, from where. Asks for what is missing. */
  look(shown, camera, density) {
    Object.assign(this, { shown, camera });
    const { levels } = this.image;
    this.level = levelFor(levels, shown.section, camera, density, shown.project);
    const wanted = new Map();
    // the smallest level first: a picture of everything is there at once, and stays below what is still on its way
    for (const k of this.level < levels.length - 1 && this.#isSmall(levels.length - 1) ? [levels.length - 1, this.level] : [this.level]) {
      for (const tile of tilesIn(levels[k], shown.section, camera.view)) {
        for (const { index } of shown.channels) wanted.set(this.#idOf(k, tile, index), { k, tile, c: index });
      }
    }
    this.#wanted = wanted;
    for (const [id, stop] of this.#loading) {
      if (wanted.has(id)) continue;
      this.#loading.delete(id);
      stop.abort();
    }
    clearTimeout(this.#rest);
    // who zooms passes levels at which nothing is looked at
    if (this.#asked === this.level || this.#asked === null) this.#ask();
    else this.#rest = setTimeout(() => this.#ask(), REST);
    this.#forget();
  }

  #ask() {
    this.#asked = this.level;
    for (const [id, what] of this.#wanted) if (!this.#planes.has(id) && !this.#loading.has(id) && !this.#failed.has(id)) this.#load(id, what);
  }

  #isSmall(k) {
    return !this.shown.project && !this.shown.labels && tilesIn(this.image.levels[k], this.shown.section, this.camera.view).length <= 4;
  }

  #idOf(k, { i, j }, c) {
    const { section, at, project } = this.shown;
    const places = placesOf(this.image.levels[k], this.image.axes, section, at, c);
    if (project) places.z = "max";
    return `${section.name} ${k} ${i} ${j} ${Object.values(places)}`;
  }

  async #load(id, { k, tile, c }) {
    const { levels, axes } = this.image;
    const { section, at, project } = this.shown;
    const stop = new AbortController();
    this.#loading.set(id, stop);
    try {
      const found = await plane(levels[k], axes, section, placesOf(levels[k], axes, section, at, c), tile, project, stop.signal);
      if (this.#loading.get(id) === stop) this.#planes.set(id, { plane: found, texture: null });
    } catch (error) {
      if (stop.signal.aborted) return;
      this.#failed.set(id, error.message);
    } finally {
      if (this.#loading.get(id) === stop) this.#loading.delete(id);
    }
    this.changed();
  }

  #forget() {
    for (const [id, { texture }] of this.#planes) {
      if (this.#bytes <= KEPT) break;
      if (this.#wanted.has(id)) continue;
      this.#planes.delete(id);
      if (texture) {
        this.#bytes -= texture.bytes;
        this.renderer.free(texture);
      }
    }
  }

  /** Draws; returns whether all that is wanted is on the stage, as far as it can be had. */
  draw() {
    const { renderer, camera, image, shown } = this;
    const { section } = shown;
    this.#left = A_FRAME;
    renderer.clip(camera.toScreen([0, 0]), camera.toScreen([section.width, section.height * section.stretch]));
    const order = image.levels.map((_, k) => k).reverse().filter((k) => k >= this.level - 1 && k !== this.level);
    const complete = this.#isComplete();
    let below = false;
    // what can be seen through is drawn once
    for (const k of complete || shown.labels ? [this.level] : [...order, this.level]) {
      const level = image.levels[k];
      let all = true;
      for (const tile of tilesIn(level, section, camera.view)) {
        const found = shown.channels.map(({ index }) => this.#textureOf(this.#idOf(k, tile, index)));
        const there = found.filter(Boolean);
        if (there.length < found.length) all = false;
        if (!there.length || (there.length < found.length && (below || k !== this.level) && !this.#isBroken(k, tile))) continue;
        const from = [tile.left * level.factor[section.h], tile.top * level.factor[section.v] * section.stretch];
        const to = [from[0] + tile.width * level.factor[section.h], from[1] + tile.height * level.factor[section.v] * section.stretch];
        const channels = shown.channels.filter((_, i) => found[i]);
        const how = { smooth: k > 0, labels: shown.labels, opacity: shown.opacity };
        renderer.draw(there, channels, { width: tile.width, height: tile.height, from: camera.toScreen(from), to: camera.toScreen(to), ...how });
      }
      below ||= all;
    }
    return this.#isComplete();
  }

  #isComplete() {
    for (const [id] of this.#wanted) if (!this.#planes.get(id)?.texture && !this.#failed.has(id)) return false;
    return true;
  }

  #isBroken(k, tile) {
    return this.shown.channels.every(({ index }) => {
      const id = this.#idOf(k, tile, index);
      return this.#planes.get(id)?.texture || this.#failed.has(id);
    });
  }

  #textureOf(id) {
    const entry = this.#planes.get(id);
    if (!entry) return null;
    this.#planes.delete(id);
    this.#planes.set(id, entry);
    if (!entry.texture) {
      if (this.#left <= 0) return null; // in the next frame
      entry.texture = this.renderer.upload(rows(entry.plane));
      this.#bytes += entry.texture.bytes;
      this.#left -= entry.texture.bytes;
    }
    return entry.texture;
  }

  /** {wanted, missing, failed, why}: tiles of channels in view, those on their way, those that could not be had and the first reason. */
  get progress() {
    const failed = [...this.#wanted.keys()].filter((id) => this.#failed.has(id));
    const missing = [...this.#wanted.keys()].filter((id) => !this.#planes.has(id)).length - failed.length;
    return { wanted: this.#wanted.size, missing, failed: failed.length, why: this.#failed.get(failed[0]) };
  }

  /** Asks again for what could not be had. */
  retry() {
    this.#failed.clear();
  }

  /** The value of each shown channel at a place of the section, undefined where it is not known (yet): {level, values}. */
  valuesAt([x, y]) {
    const { section, channels } = this.shown;
    const level = this.image.levels[this.level];
    const [px, py] = [Math.floor(x / level.factor[section.h]), Math.floor(y / section.stretch / level.factor[section.v])];
    const [tile] = tilesIn(level, section, { left: x, right: x + 1e-6, top: y, bottom: y + 1e-6 });
    const values = channels.map(({ index }) => {
      const entry = tile && this.#planes.get(this.#idOf(this.level, tile, index));
      return entry && valueAt(entry.plane, px - tile.left, py - tile.top);
    });
    return { level: this.level, values };
  }

  /** Some `most` values of a channel, evenly out of what is in view. */
  samples(index, most) {
    const { section } = this.shown;
    const level = this.image.levels[this.level];
    const view = this.camera.view;
    const found = [];
    const [fx, fy] = [level.factor[section.h], level.factor[section.v] * section.stretch];
    const area = Math.max(1, ((view.right - view.left) / fx) * ((view.bottom - view.top) / fy));
    const step = Math.max(1, Math.ceil(Math.sqrt(area / most)));
    for (const tile of tilesIn(level, section, view)) {
      const entry = this.#planes.get(this.#idOf(this.level, tile, index));
      if (!entry) continue;
      const first = (from, start) => Math.max(0, Math.ceil((from - start) / step) * step);
      for (let y = first(view.top / fy, tile.top); y < tile.height && tile.top + y < view.bottom / fy; y += step) {
        for (let x = first(view.left / fx, tile.left); x < tile.width && tile.left + x < view.right / fx; x += step) {
          found.push(valueAt(entry.plane, x, y));
        }
      }
    }
    return found;
  }

  clear() {
    clearTimeout(this.#rest);
    for (const stop of this.#loading.values()) stop.abort();
    for (const { texture } of this.#planes.values()) if (texture) this.renderer.free(texture);
    for (const map of [this.#loading, this.#planes, this.#wanted, this.#failed]) map.clear();
    this.#bytes = 0;
  }
}
