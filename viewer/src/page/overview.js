// The whole image in the corner, with a frame around what is on the stage; shown once that is not all.
import { smallPicture } from "./thumbnail.js";
import { rarely } from "./dom.js";

const [SIDE, SIDE_ON_A_PHONE] = [128, 88];

/** {update(), show()}: `update` when the scene has changed, `show` when the place has. */
export function overview(host, scene, picture) {
  let drawing = new AbortController();
  const side = matchMedia("(max-width: 799px)").matches ? SIDE_ON_A_PHONE : SIDE;
  const frame = host.querySelector(".frame");
  const redraw = rarely(async () => {
    drawing.abort();
    const { signal } = (drawing = new AbortController());
    const shown = scene.shown(scene.image);
    const made = shown.labels ? null : await smallPicture(scene.image, shown, side, signal).catch(() => null);
    if (signal.aborted) return;
    host.querySelector("canvas")?.remove();
    if (made) host.prepend(made);
  }, 150);
  const show = () => {
    const { camera } = picture;
    host.hidden = camera.view.left === 0 && camera.view.top === 0 && camera.view.right === camera.extent[0] && camera.view.bottom === camera.extent[1];
    if (host.hidden) return;
    const scale = side / Math.max(...camera.extent);
    Object.assign(host.style, { width: `${camera.extent[0] * scale}px`, height: `${camera.extent[1] * scale}px` });
    const { left, top, right, bottom } = camera.view;
    Object.assign(frame.style, {
      left: `${left * scale}px`, top: `${top * scale}px`, width: `${(right - left) * scale}px`, height: `${(bottom - top) * scale}px`,
    });
  };
  const go = (event) => {
    const box = host.getBoundingClientRect();
    const [width, height] = picture.camera.extent;
    const place = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
    picture.move(() => picture.camera.look(place, picture.camera.zoom));
  };
  host.onpointerdown = (event) => {
    host.setPointerCapture(event.pointerId);
    go(event);
  };
  host.onpointermove = (event) => event.buttons && go(event);
  redraw();
  return { update: redraw, show };
}
