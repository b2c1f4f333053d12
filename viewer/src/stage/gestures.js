// Mouse, pen and fingers on the stage: drag, pinch, wheel, tap and where the pointer is.

const STILL = 5; // screen pixels that a tap may move
const [LINE, PER_PIXEL, MOST] = [16, 0.005, 1];

/** `on`: {pan(dx, dy), zoom([x, y], steps), tap([x, y]), hover([x, y] or null)}, all in screen pixels of `host`. */
export function gestures(host, on) {
  const down = new Map();
  let moved = 0;
  const at = ({ clientX, clientY }) => {
    const box = host.getBoundingClientRect();
    return [clientX - box.left, clientY - box.top];
  };
  const spread = () => {
    const [a, b] = [...down.values()];
    return { distance: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2] };
  };

  host.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    host.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    if (down.size === 1) moved = 0;
  });
  host.addEventListener("pointermove", (event) => {
    const now = at(event);
    const before = down.get(event.pointerId);
    if (!before) return on.hover(now);
    if (down.size === 2) {
      const was = spread();
      down.set(event.pointerId, now);
      const is = spread();
      on.pan(was.middle[0] - is.middle[0], was.middle[1] - is.middle[1]);
      on.zoom(is.middle, Math.log2(is.distance / was.distance));
    } else {
      down.set(event.pointerId, now);
      on.pan(before[0] - now[0], before[1] - now[1]);
    }
    moved += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (event.pointerType === "mouse") on.hover(now);
  });
  const up = (event) => {
    if (!down.delete(event.pointerId) || event.type === "pointercancel") return;
    if (!down.size && moved < STILL) on.tap(at(event));
  };
  host.addEventListener("pointerup", up);
  host.addEventListener("pointercancel", up);
  host.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && on.hover(null));
  host.addEventListener("dblclick", (event) => on.zoom(at(event), event.shiftKey ? -1 : 1));
  host.addEventListener("wheel", (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? LINE : 1);
    on.zoom(at(event), Math.max(-MOST, Math.min(MOST, -pixels * PER_PIXEL)));
  }, { passive: false });
}
