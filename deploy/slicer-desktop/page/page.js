// The page of the desktop: noVNC draws it; who is here, notices and the clipboard are ours.
// One WebSocket carries both: binary messages are VNC's, text messages are the gate's and ours.
import RFB from "./novnc/core/rfb.js";

const ENDED = 1001;
const door = window.slicerhubDoor;

const at = (id) => document.getElementById(id);

let screen = null;
let socket = null;
let role = "view";
let pasted = null; // what both sides have on their clipboard, as far as we know
let shownText = "";

const mayChange = () => role !== "view";

function showState(state) {
  role = state.role;
  at("role").dataset.role = role; // for door.js
  at("role").textContent = mayChange()
    ? role === "control" ? "You may change things in this session." : ""
    : state.viewing;
  at("upload").hidden = !mayChange();
  at("text").readOnly = !mayChange();
  at("people").replaceChildren(
    ...state.people.map((person) => {
      const item = document.createElement("li");
      item.textContent = `${person.user} (${person.role})`;
      return item;
    }),
  );
  at("ask").hidden = role !== "view";
  at("ask").disabled = state.asking.includes(state.user);
  at("ask").textContent = at("ask").disabled ? "Asked for control" : "Ask for control";
  at("asking").replaceChildren(...(mayChange() ? state.asking.map(askingLine) : []));
  at("notice").hidden = !state.notice;
  at("keep").hidden = !mayChange() || !state.notice?.until;
  at("notice-text").textContent = state.notice?.text ?? "";
  at("notice-left").textContent = "";
  if (state.notice?.until) at("notice-left").dataset.until = state.notice.until;
  else delete at("notice-left").dataset.until;
  if (screen) setRights();
}

function askingLine(user) {
  const line = document.createElement("li");
  line.append(`${user} asks for control.`);
  if (role === "owner" && door.about("share")) {
    const give = document.createElement("a");
    give.href = door.about("share");
    give.target = "_blank";
    give.textContent = "Give control …";
    line.append(give);
  }
  const dismiss = document.createElement("button");
  dismiss.type = "button";
  dismiss.textContent = "Dismiss";
  dismiss.addEventListener("click", () => socket.send(`dismiss ${user}`));
  line.append(dismiss);
  return line;
}

function setRights() {
  screen.viewOnly = !mayChange();
  // The owner's window decides how large the desktop is; the others see it scaled. Only on a change:
  // noVNC asks for the size each time this is set, and the server then disconnects everybody who is
  // about to join.
  const decides = role === "owner";
  if (screen.resizeSession !== decides) screen.resizeSession = decides;
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
    screen.focus();
    setRights();
  });
  screen.addEventListener("clipboard", (event) => receiveText(event.detail.text));
  screen.addEventListener("disconnect", () => {
    screen = null;
    lost(code);
  });
}

async function lost(code) {
  at("people").replaceChildren();
  at("asking").replaceChildren();
  at("role").textContent = "";
  at("notice").hidden = true;
  if (code === ENDED) door.end("This session has ended. Your files are kept.");
  else if (await door.comeBack()) connect();
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

at("ask").addEventListener("click", () => window.slicerhub.ask());
at("keep").addEventListener("click", () => socket.send("keep"));
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
