// The image on the stage: Viv draws it with deck.gl; at zoom 0 a pixel of level 0 is one screen pixel wide.
import { Deck, OrthographicView } from "@deck.gl/core";
import { Matrix4 } from "@math.gl/core";
import { ColorPaletteExtension } from "@vivjs/extensions";
import { MultiscaleImageLayer, XRLayer } from "@vivjs/layers";
import { Clip } from "./clip.js";
import { Contrast } from "./contrast.js";

const VIEW = "detail";
const CLOSEST = 5;
const MARGIN = 0.94; // of the stage, when the whole image is shown
const EXTENSIONS = [new Contrast(), new ColorPaletteExtension(), new Clip()];

export const MAX_SHOWN = 10; // channels that Viv draws at once

// Viv's own ends the last tile of every level where the image ends. Sizes are rounded up, so that would squeeze it, and details would jump
// between levels: here a pixel of level k is 2**k wide everywhere.
function drawTile(props) {
  const { tile, data, maxZoom } = props;
  if (!data?.width) return null;
  const { bbox: { left, top }, index: { x, y, z } } = tile;
  const size = 2 ** -z;
  return new XRLayer(props, {
    id: `${props.id}-${x}-${y}-${z}`,
    channelData: data,
    bounds: [left, top + data.height * size, left + data.width * size, top],
    interpolation: z === maxZoom ? "nearest" : "linear",
  });
}

export class Picture {
  #deck;
  #image = null;
  #selections = null;
  #count = 0;

  /** `on`: {view, ready, error}, called with the picture's own state. */
  constructor(host, on) {
    this.host = host;
    this.on = on;
    this.view = { target: [0, 0, 0], zoom: 0 };
    this.#deck = new Deck({
      parent: host,
      views: new OrthographicView({ id: VIEW, controller: { keyboard: false, inertia: false, scrollZoom: { smooth: false, speed: 0.01 } } }),
      viewState: { [VIEW]: this.view },
      layers: [],
      // deck.gl makes its parent a stop of the tab key; the keys are the stage's
      onLoad: () => host.setAttribute("tabindex", "-1"),
      onViewStateChange: ({ viewState }) => this.look(viewState.target, viewState.zoom),
      onError: (error) => on.error(error),
    });
    new ResizeObserver(() => this.#image && this.look(this.view.target, this.view.zoom)).observe(host);
  }

  /** Shows another image, whole. */
  show(image) {
    this.#image = image;
    this.#count++;
    // Pixels need not be square. Never in x: by that Viv would choose other levels.
    this.stretch = image.pixel.y / image.pixel.x;
    this.fit();
  }

  clear() {
    this.#image = null;
    this.#deck.setProps({ layers: [] });
  }

  /** Draws what `shown` says: {channels: those to draw, at most MAX_SHOWN, each with index, color, limits, on; z; t}. */
  draw({ channels, z, t }) {
    const { levels, sizes, dtype } = this.#image;
    const plane = { ...("z" in sizes && { z }), ...("t" in sizes && { t }) };
    const selections = channels.map(({ index }) => ({ ...plane, ...("c" in sizes && { c: index }) }));
    // the same array as long as it says the same: another one makes Viv load all tiles again
    if (JSON.stringify(selections) !== JSON.stringify(this.#selections)) this.#selections = selections;
    this.#deck.setProps({
      layers: [
        new MultiscaleImageLayer({
          id: `image-${this.#count}`,
          viewportId: VIEW,
          loader: levels,
          dtype,
          selections: this.#selections,
          channelsVisible: channels.map((channel) => channel.on),
          contrastLimits: channels.map((channel) => channel.limits),
          colors: channels.map((channel) => channel.color),
          extensions: EXTENSIONS,
          clipBounds: [0, 0, ...this.#extent],
          renderSubLayers: drawTile,
          modelMatrix: this.stretch === 1 ? undefined : new Matrix4().scale([1, this.stretch, 1]),
          pickable: false,
          onViewportLoad: () => this.on.ready(),
          onTileError: (error) => error?.name !== "AbortError" && levels[0].onTileError.call(this, error),
        }),
      ],
    });
  }

  get #extent() {
    const { x, y } = this.#image.sizes;
    return [x, y * this.stretch];
  }

  get #whole() {
    const [width, height] = this.#extent;
    return Math.log2(Math.min(this.host.clientWidth / width, this.host.clientHeight / height) * MARGIN);
  }

  /** The level whose pixels are on the screen: the one that is at least as fine as the screen. */
  get level() {
    return Math.min(this.#image.levels.length - 1, Math.max(0, -Math.ceil(this.view.zoom)));
  }

  fit() {
    const [width, height] = this.#extent;
    this.look([width / 2, height / 2, 0], Math.min(this.#whole, CLOSEST));
  }

  zoomBy(steps) {
    this.look(this.view.target, this.view.zoom + steps);
  }

  /** Moves by parts of the stage. */
  pan(right, down) {
    const size = 2 ** -this.view.zoom;
    const [x, y] = this.view.target;
    this.look([x + right * this.host.clientWidth * size, y + down * this.host.clientHeight * size, 0], this.view.zoom);
  }

  /** Centre (in y, too, in widths of a level 0 pixel) and zoom, kept where there is something to see. */
  look([x, y], zoom) {
    if (!this.#image) return;
    const [width, height] = this.#extent;
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    this.view = {
      target: [within(x, width), within(y, height), 0],
      zoom: Math.min(CLOSEST, Math.max(Math.min(this.#whole, 0) - 1, zoom)),
    };
    this.#deck.setProps({ viewState: { [VIEW]: this.view } });
    this.on.view(this);
  }
}
