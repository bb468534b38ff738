// The page of the desktop: noVNC draws it; who is here, notices and the clipboard are ours.
// One WebSocket carries both: binary messages are VNC's, text messages are the gate's and "keep".
import RFB from "./novnc/core/rfb.js";

const KICKED = 4403;
const ENDED = 1001;
const REFUSED = 1008;
const PAUSES = [0.5, 1, 2, 4, 8, 8, 8, 8]; // seconds before each attempt to come back

const at = (id) => document.getElementById(id);
const ROLES = {
  owner: "",
  control: "You may change things in this session.",
  view: "You are viewing this session.",
};

let screen = null;
let socket = null;
let role = "view";
let failures = 0;
let pasted = null; // what both sides have on their clipboard, as far as we know
let shownText = "";

const mayChange = () => role !== "view";

function showState(state) {
  role = state.role;
  at("role").textContent = ROLES[role];
  at("upload").hidden = !mayChange();
  at("text").readOnly = !mayChange();
  at("people").replaceChildren(
    ...state.people.map((person) => {
      const item = document.createElement("li");
      item.textContent = `${readable(person.user)} (${person.role})`;
      return item;
    }),
  );
  at("ask").hidden = role !== "view";
  at("asking").textContent = state.asking
    ? `${readable(state.asking)} would like to take part. You can allow it on your sessions' page.`
    : "";
  at("notice").hidden = !state.notice;
  at("keep").hidden = !mayChange();
  if (state.notice) {
    const until = state.notice.until ? new Date(state.notice.until) : null;
    const time = until && !isNaN(until) ? ` (${until.toLocaleTimeString()})` : "";
    at("notice-text").textContent = state.notice.text + time;
  }
  if (screen) setRights();
}

// The hub writes a user's name the way it stands in an address.
function readable(user) {
  try {
    return decodeURIComponent(user);
  } catch {
    return user;
  }
}

function setRights() {
  screen.viewOnly = !mayChange();
  // The owner's window decides how large the desktop is; the others see it scaled.
  screen.resizeSession = role === "owner";
}

function connect() {
  const url = new URL("ws", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  socket = new WebSocket(url, ["binary"]);
  socket.binaryType = "arraybuffer";
  // noVNC listens only a turn of the event loop later, and must not see the text messages.
  let early = [];
  socket.addEventListener("message", (event) => {
    if (typeof event.data === "string") {
      event.stopImmediatePropagation();
      showState(JSON.parse(event.data));
    } else if (early) {
      event.stopImmediatePropagation();
      early.push(event.data);
    }
  });
  let code = 0;
  socket.addEventListener("close", (event) => (code = event.code));
  screen = new RFB(at("screen"), socket, { shared: true });
  setTimeout(() => {
    const held = early;
    early = null;
    held.forEach((data) => socket.dispatchEvent(new MessageEvent("message", { data })));
  });
  screen.viewOnly = true; // until we know better
  screen.scaleViewport = true;
  screen.focusOnClick = true;
  screen.addEventListener("connect", () => {
    failures = 0;
    at("ended").hidden = true;
    screen.focus();
    setRights();
  });
  screen.addEventListener("clipboard", (event) => receiveText(event.detail.text));
  screen.addEventListener("disconnect", () => {
    screen = null;
    lost(code);
  });
}

function lost(code) {
  at("people").replaceChildren();
  if (code === KICKED || code === REFUSED) return showEnd("You are no longer in this session.");
  if (code === ENDED) return showEnd("This session has ended. Your files are kept.");
  if (failures >= PAUSES.length) return showEnd("The connection is lost.");
  at("role").textContent = "The connection is lost; trying again.";
  setTimeout(connect, PAUSES[failures++] * 1000);
}

function showEnd(text) {
  at("role").textContent = "";
  at("notice").hidden = true;
  at("ended-text").textContent = text;
  at("ended").hidden = false;
}

// From the session to here. Browsers let a page write to the clipboard only while it is in front,
// and only where the connection is secure; the panel always works.
function receiveText(text) {
  at("text").value = pasted = shownText = text;
  navigator.clipboard?.writeText(text).catch(() => {});
}

function sendText(text) {
  if (!screen || !mayChange() || text === pasted) return;
  pasted = text;
  screen.clipboardPasteFrom(text);
}

async function fetchText() {
  if (!mayChange() || !navigator.clipboard?.readText) return;
  try {
    const text = await navigator.clipboard.readText();
    if (text && text !== shownText) sendText((at("text").value = shownText = text));
  } catch {
    // The person did not allow it. The panel is there.
  }
}

function showProgress(percent) {
  at("progress").textContent = percent < 0 ? "" : `Uploading: ${percent} %`;
}

at("ask").addEventListener("click", () => {
  at("ask").disabled = true;
  window.slicerhub.ask();
});
at("keep").addEventListener("click", () => socket.send("keep"));
at("again").addEventListener("click", () => location.reload());
at("fullscreen").addEventListener("click", () => {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen();
});
at("clipboard").addEventListener("click", () => {
  const board = at("board");
  board.hidden = !board.hidden;
  at("clipboard").setAttribute("aria-expanded", String(!board.hidden));
  if (board.hidden) screen?.focus();
  else at("text").focus();
});
at("text").addEventListener("input", () => sendText(at("text").value));
at("upload").addEventListener("click", () => at("picked").click());
at("picked").addEventListener("change", () =>
  window.slicerhub.upload(at("picked"), "My files", "", showProgress, (problem) => {
    at("progress").textContent = problem || "Uploaded into your files.";
  }),
);
window.addEventListener("focus", fetchText);
at("screen").addEventListener("pointerenter", fetchText);

connect();
