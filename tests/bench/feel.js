// Watches what a page shows and which input reaches it, for bench.feel, which injects this file
// before the page's own scripts. Times are the page's own (milliseconds of performance.now()).
(() => {
  const WIDTH = 48;
  const HEIGHT = 32;
  const VIEW = "img.image-display-area, canvas.image-display-area";

  // What WebGL has drawn can be read in its own frame only, unless it is kept.
  const context = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    const kept = kind.startsWith("webgl") ? { ...options, preserveDrawingBuffer: true } : options;
    return context.call(this, kind, kept);
  };

  const small = document.createElement("canvas");
  small.width = WIDTH;
  small.height = HEIGHT;
  const brush = small.getContext("2d", { willReadFrequently: true, alpha: false });
  brush.imageSmoothingQuality = "medium"; // a mean of many points: a coarse picture looks alike

  let parts = []; // where views are, if it is known beforehand
  let watched = null; // which of them
  let shown = ""; // the address of the image that was read last
  let last = null; // its points
  let noted = { pictures: [], inputs: [], bytes: 0, frames: 0 };

  const sizeOf = (content) => content.byteLength ?? content.size ?? content.length;
  // No class of its own: noVNC looks at what a socket is made of.
  window.WebSocket = new Proxy(window.WebSocket, {
    construct(target, words, made) {
      const socket = Reflect.construct(target, words, made);
      socket.addEventListener("message", ({ data }) => (noted.bytes += sizeOf(data)));
      return socket;
    },
  });

  for (const kind of ["pointerdown", "pointermove", "pointerup"]) {
    const note = (event) => {
      const all = event.getCoalescedEvents();
      for (const one of all.length ? all : [event]) {
        noted.inputs.push({ kind, at: one.timeStamp, x: one.clientX, y: one.clientY, delta: 0 });
      }
    };
    addEventListener(kind, note, { capture: true, passive: true });
  }
  addEventListener(
    "wheel",
    (event) => {
      const { timeStamp: at, clientX: x, clientY: y, deltaY: delta } = event;
      noted.inputs.push({ kind: "wheel", at, x, y, delta });
    },
    { capture: true, passive: true },
  );

  // Where each view is now: an element, and which part of it (CSS pixels).
  function places() {
    if (parts.length) {
      const find = ({ selector, nth }) => document.querySelectorAll(selector)[nth];
      return parts.map((part) => ({ element: find(part), box: part.box }));
    }
    return pictures().map((element) => {
      const { clientWidth: width, clientHeight: height } = element;
      return { element, box: { x: 0, y: 0, width, height } };
    });
  }

  // The first visible picture of each of trame's views.
  function pictures() {
    const found = new Map();
    for (const one of document.querySelectorAll(VIEW)) {
      const view = one.closest(".layout-grid-item") ?? one.parentElement;
      const seen = one.checkVisibility({ opacityProperty: true, visibilityProperty: true });
      if (seen && !found.has(view)) found.set(view, one);
    }
    return [...found.values()];
  }

  // Reads a view; null: it is as it was, or not there.
  function read(place) {
    if (!place?.element) return null;
    const { element, box } = place;
    let { width, height } = element;
    if (element instanceof HTMLImageElement) {
      if (!element.complete || element.currentSrc === shown) return null;
      shown = element.currentSrc;
      ({ naturalWidth: width, naturalHeight: height } = element);
    }
    const across = width / element.clientWidth;
    const down = height / element.clientHeight;
    if (!width || !height) return null;
    const cut = [box.x * across, box.y * down, box.width * across, box.height * down];
    brush.drawImage(element, ...cut, 0, 0, WIDTH, HEIGHT);
    const points = new Uint32Array(brush.getImageData(0, 0, WIDTH, HEIGHT).data.buffer);
    if (last && points.every((point, at) => point === last[at])) return null;
    return (last = points);
  }

  const grey = (points) =>
    Uint8Array.from(points, (point) => {
      const [red, green, blue] = [point & 255, (point >> 8) & 255, (point >> 16) & 255];
      return (red * 77 + green * 150 + blue * 29) >> 8;
    });
  // Red well above blue, as no slice is.
  const brown = (points) =>
    points.filter((point) => (point & 255) - ((point >> 16) & 255) > 20).length / points.length;

  function frame() {
    requestAnimationFrame(frame);
    noted.frames += 1;
    const points = watched !== null && read(places()[watched]);
    if (points) noted.pictures.push({ at: performance.now(), points });
  }
  requestAnimationFrame(frame);

  function forget() {
    shown = "";
    last = null;
  }

  const feel = {
    // Returns where each view is, how many greys it shows, and how much of it is brown. Without
    // parts of the page they are those of trame.
    views(known) {
      parts = known;
      const found = places().map((place) => {
        forget();
        const points = read(place) ?? new Uint32Array(0);
        const { x, y } = place.element?.getBoundingClientRect() ?? { x: 0, y: 0 };
        const box = [x + place.box.x, y + place.box.y, place.box.width, place.box.height];
        return { box, greys: new Set(grey(points)).size, brown: brown(points) };
      });
      forget();
      return found;
    },
    // Watches one of views() from now on.
    watch(number) {
      watched = number;
      feel.begin();
    },
    // Forgets what was noted. The next picture counts, whatever was shown before.
    begin() {
      forget();
      noted = { pictures: [], inputs: [], bytes: 0, frames: 0 };
    },
    // Returns for how many milliseconds the same picture has been shown, and how many there were.
    rest() {
      const { pictures } = noted;
      const since = pictures.at(-1)?.at ?? performance.now();
      return { still: performance.now() - since, number: pictures.length };
    },
    // Returns all that was noted; the points of a picture as greys in base64.
    take() {
      const pictures = noted.pictures.map(({ at, points }) => ({
        at,
        greys: btoa(String.fromCharCode(...grey(points))),
      }));
      return { ...noted, pictures };
    },
  };
  window.feel = feel;
})();
