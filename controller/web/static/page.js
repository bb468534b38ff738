// What every page does: its menus, its times, its forms, and what is said to people who listen.
// The pages work without any script of this folder, by plain forms and links.

export const all = (selector, within = document) => [...within.querySelectorAll(selector)];
export const one = (selector) => document.querySelector(selector);

// A request that nobody answers must end, too: what waits for it would wait for ever.
export const patience = (seconds) => ({ signal: AbortSignal.timeout(seconds * 1000) });
export const ASK_SECONDS = 15; // for what is only read
export const ACT_SECONDS = 30; // for what changes something, which may ask other servers

// Behind an open dialog nothing is heard.
export const say = (text) => { (one("dialog[open] .said") || one("#said")).textContent = text; };
export const lost = (is) => {
  const line = one("#connection");
  const text = is ? "Connection lost. Trying again…" : "";
  if (line.textContent !== text) line.textContent = text;
};

// --- times: in the reader's zone, and counted from the server's clock ---
let ahead = 0; // milliseconds that the server's clock is ahead of this one
export const setClock = (main) => {
  const now = Date.parse(main.dataset.now);
  if (now) ahead = now - Date.now();
};
const clock = (at, now) => {
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (at.toDateString() === now.toDateString()) return time;
  return `${at.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
};
const ago = (at, now) => {
  const minutes = Math.floor((now - at) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 1440) return `${Math.floor(minutes / 60)} h ago`;
  return clock(at, now);
};
export const times = (within) => {
  const now = new Date(Date.now() + ahead);
  for (const time of all("time[datetime]", within)) {
    const at = new Date(time.dateTime);
    const text = "ago" in time.dataset ? ago(at, now) : clock(at, now);
    if (time.textContent !== text) time.textContent = text;
    time.title = at.toLocaleString();
  }
};

setClock(one("main"));
times(one("main"));

// --- menus ---
const closeMenus = (keepOpen) => {
  for (const menu of all("details.menu[open]")) if (menu !== keepOpen) menu.open = false;
};
document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("focusin", (event) => closeMenus(event.target.closest("details.menu")));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// --- forms: a second click while the first is under way does nothing ---
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || "quiet" in form.dataset) return;
  if (Date.now() - Number(form.dataset.sent) < 4000) { event.preventDefault(); return; }
  form.dataset.sent = String(Date.now());
  if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  for (const form of all("form[data-sent]")) delete form.dataset.sent;
  for (const button of all("button[aria-busy]")) button.removeAttribute("aria-busy");
});

// --- an error that may pass. Not a file of its own: a server in trouble may not send one more ---
const line = one("#retry");
if (line) {
  let left = Number(line.dataset.seconds);
  setInterval(() => {
    left -= 1;
    if (left <= 0) { location.replace(location.href); left = Number(line.dataset.seconds); return; }
    line.textContent = `Trying again in ${left} s`;
  }, 1000);
}
