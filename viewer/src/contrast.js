import { LayerExtension } from "@deck.gl/core";

/** The linear ramp from start to end. Viv's own takes any window narrower than 0.0005 for that wide: float images would stay dark. */
export class Contrast extends LayerExtension {
  static extensionName = "Contrast";

  getShaders() {
    return {
      inject: {
        "fs:DECKGL_PROCESS_INTENSITY":
          "intensity = isnan(intensity) ? 0. : clamp((intensity - contrastLimits[0]) / max(1e-30, contrastLimits[1] - contrastLimits[0]), 0., 1.);",
      },
    };
  }
}
