import { ClipExtension } from "@deck.gl/extensions";

/** Cuts layers off where the image ends (`clipBounds`, before any layer's own matrix): sizes are rounded up, so smaller levels end later. */
export class Clip extends ClipExtension {
  static extensionName = "Clip";

  draw() {
    const [left, top, right, bottom] = this.props.clipBounds;
    const on = { modelMatrix: null };
    const bounds = [...this.projectPosition([left, top, 0], on).slice(0, 2), ...this.projectPosition([right, bottom, 0], on).slice(0, 2)];
    this.setShaderModuleProps({ clip: { bounds } });
  }
}
