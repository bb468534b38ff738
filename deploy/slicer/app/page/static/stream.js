// Input and pictures of the views, over a socket of their own (app/stream/wire.py).
// Input is numbered and never waits for an answer; each picture tells the last input that it shows.
(() => {
  const WAITING_BYTES = 4096; // more of it in the browser's own queue: the line is full
  const MOST_TOOK = 60_000; // milliseconds; a computer that slept took longer
  const AGAIN = 10; // milliseconds until that is looked at again
  const REPORT = 2000; // milliseconds between two reports of how it felt
  const BOUNDS = [8, 16, 25, 33, 50, 66, 100, 150, 200, 300, 500, 1000, 2000]; // ms
  const PARTS = ["network", "waiting", "render", "encode", "paint"];
  const RECENT = 5; // reports that the word in the bar is about
  // Milliseconds from the hand to its picture, of 19 in 20: what is felt, and what makes one wait.
  const FAST = 150;
  const BEARABLE = 300;
  const WHY = {
    network: "the network",
    waiting: "the session is busy",
    render: "drawing",
    encode: "compressing",
    paint: "this browser",
  };
  const GESTURES = ["Pinch", "Pan", "Rotate"];
  const KINDS =
    /^(MouseMove|(Left|Middle|Right)Button(Press|Release)|(Start|End)?(MouseWheel|Pinch|Pan|Rotate))$/;

  let socket = null;
  const views = new Map(); // by name: what shows it
  const sizes = new Map(); // by name: the size that it is shown in
  let held = []; // input that waits for the line
  let number = 0;
  let touched = 0; // when the person did what the next input comes from
  const sentAt = new Map(); // by number: when, and in which view
  let felt = null; // since the last report
  let recent = []; // the last reports

  const send = (message) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  };

  // Input.

  const only = (event, names) =>
    JSON.stringify(Object.entries(event).filter(([name]) => !names.includes(name)));

  // One event with the effect of both, or null if both are needed.
  function merge(old, event) {
    if (old.type !== event.type) return null;
    if (event.type === "MouseWheel") {
      const names = ["x", "y", "spinY"];
      if (only(old, names) !== only(event, names)) return null;
      return { ...event, spinY: old.spinY + event.spinY };
    }
    const names = GESTURES.includes(event.type)
      ? ["x", "y", "factor", "rotation", "translation", "positions"]
      : ["x", "y"];
    const canMerge = event.type === "MouseMove" || GESTURES.includes(event.type);
    return canMerge && only(old, names) === only(event, names) ? event : null;
  }

  function input(view, event) {
    if (!KINDS.test(event.type)) return; // its keys and taps mean nothing to the session
    number += 1;
    // A pointer that only passes over a view changes nothing that could be waited for.
    if (event.type !== "MouseMove" || event.action === "down") {
      sentAt.set(number, { at: touched || performance.now(), view });
    }
    const message = { type: "input", number, view, event };
    const last = held.at(-1);
    const merged = last?.view === view ? merge(last.event, event) : null;
    if (merged) held[held.length - 1] = { ...message, event: merged };
    else held.push(message);
    flush();
  }

  let isWaiting = false;
  function flush() {
    if (isWaiting) return;
    while (held.length) {
      if (socket?.bufferedAmount > WAITING_BYTES) {
        isWaiting = true;
        setTimeout(() => {
          isWaiting = false;
          flush();
        }, AGAIN);
        return;
      }
      send(held.shift());
    }
  }

  // Pictures.

  class View {
    constructor(name, image) {
      this.name = name;
      this.image = image;
      this.loading = null;
      this.newest = null;
      this.url = "";
      image.addEventListener("load", () => this.loaded());
      image.addEventListener("error", () => this.loaded());
    }

    // Of those that come while one is decoded, the newest is kept. That it was seen tells that those
    // before it have arrived.
    take(picture) {
      this.newest = picture;
      if (!this.loading) this.next();
    }

    next() {
      this.loading = this.newest;
      this.newest = null;
      const old = this.url;
      this.url = URL.createObjectURL(
        new Blob([this.loading.content], { type: this.loading.head.format }),
      );
      this.image.src = this.url;
      if (old) URL.revokeObjectURL(old);
    }

    loaded() {
      const picture = this.loading;
      if (!picture) return;
      this.loading = null;
      seen(picture);
      const { head } = picture;
      this.image.dataset.picture = head.final ? "final" : "moving";
      this.image.style.removeProperty("display");
      requestAnimationFrame(() => feel(head, picture.arrived));
      if (this.newest) this.next();
    }
  }

  const seen = ({ head, arrived }) =>
    send({
      type: "seen",
      number: head.number,
      took: Math.min(MOST_TOOK, performance.now() - arrived),
    });

  function receive(data) {
    const arrived = performance.now();
    const length = new DataView(data).getUint16(0);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 2, length)));
    const picture = { head, arrived, content: new Uint8Array(data, 2 + length) };
    const view = views.get(head.view);
    if (view) view.take(picture);
    else seen(picture);
  }

  // How it felt: from the pointer to its picture.

  const nothing = () => ({
    counts: Array(BOUNDS.length + 1).fill(0),
    parts: Object.fromEntries(PARTS.map((part) => [part, 0])),
  });

  function feel(head, arrived) {
    const cause = sentAt.get(head.input);
    if (!cause || cause.view !== head.view) return;
    for (const each of sentAt.keys()) if (each <= head.input) sentAt.delete(each);
    const now = performance.now();
    const whole = now - cause.at;
    const paint = now - arrived;
    const { waited, render, encode } = head;
    // Input is not read while the session draws, which looks like a longer line.
    const rest = Math.max(0, whole - waited - render - encode - paint);
    const network = Math.min(rest, head.trip);
    const waiting = waited + rest - network;
    felt ??= nothing();
    const at = BOUNDS.findIndex((bound) => whole <= bound);
    felt.counts[at < 0 ? BOUNDS.length : at] += 1;
    const parts = { network, waiting, render, encode, paint };
    for (const part of PARTS) felt.parts[part] += parts[part];
  }

  // The time that this part of all pictures took at most: the upper bound of where it falls.
  function within(counts, part) {
    const wanted = part * counts.reduce((sum, count) => sum + count, 0);
    let sum = 0;
    const at = counts.findIndex((count) => (sum += count) >= wanted);
    return BOUNDS[at] ?? Infinity;
  }

  // One word for it, and why: where most of the time goes.
  function tell() {
    const sign = document.getElementById("slicerhub-felt");
    if (!sign) return;
    const all = nothing();
    for (const { counts, parts } of recent) {
      counts.forEach((count, at) => (all.counts[at] += count));
      for (const part of PARTS) all.parts[part] += parts[part];
    }
    const late = within(all.counts, 0.95);
    const most = PARTS.reduce((one, other) => (all.parts[other] > all.parts[one] ? other : one));
    const word = late <= FAST ? "Fast" : late <= BEARABLE ? "Slower" : "Slow";
    const text = late <= FAST ? word : `${word}: ${WHY[most]}`;
    const time = late < Infinity ? `${late} ms` : `more than ${BOUNDS.at(-1)} ms`;
    sign.textContent = text;
    sign.title = `Of 20 pictures, 19 follow your hand within ${time}. Most of it: ${WHY[most]}.`;
    sign.hidden = false;
  }

  setInterval(() => {
    if (!felt) return;
    send({ type: "felt", sample: felt });
    recent = [...recent.slice(1 - RECENT), felt];
    felt = null;
    tell();
  }, REPORT);

  // The connection. Whatever is closed is opened again by the page as a whole (socket.js, door.js).

  function connect() {
    const url = new URL("stream", document.baseURI);
    url.protocol = url.protocol.replace("http", "ws");
    socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", (event) => receive(event.data));
    socket.addEventListener("open", () => {
      send({ type: "visible", shown: !document.hidden });
      for (const view of views.values()) {
        if (sizes.has(view.name)) send({ type: "size", view: view.name, ...sizes.get(view.name) });
        send({ type: "watch", view: view.name });
      }
      flush();
    });
  }

  for (const kind of ["pointerdown", "pointermove", "pointerup", "wheel", "keydown", "keyup"]) {
    addEventListener(kind, (event) => (touched = event.timeStamp), {
      capture: true,
      passive: true,
    });
  }
  addEventListener("visibilitychange", () => send({ type: "visible", shown: !document.hidden }));
  connect();

  window.slicerhubStream = {
    input,
    size(view, { w, h, p }) {
      const size = { width: w, height: h, ratio: p };
      sizes.set(view, size);
      send({ type: "size", view, ...size });
    },
    show(name, image) {
      const view = new View(name, image);
      views.set(name, view);
      send({ type: "watch", view: name });
      return () => {
        if (views.get(name) !== view) return;
        views.delete(name);
        if (view.url) URL.revokeObjectURL(view.url);
        send({ type: "unwatch", view: name });
      };
    },
  };
})();
