// Keeps a page as the server has it now, by events that say when to ask again.
import { listen } from "./events.js";
import {
  ACT_SECONDS, all, ASK_SECONDS, lost, one, patience, say, setClock, times,
} from "./page.js";

export const parsed = async (answer) => (
  new DOMParser().parseFromString(await answer.text(), "text/html")
);
export const ask = (url) => (
  fetch(url, { headers: { Accept: "text/html" }, cache: "no-store", ...patience(ASK_SECONDS) })
);

// --- replace what the server changed, and leave alone what the reader uses ---
const UNTOUCHED = new Set(["open", "aria-busy", "data-sent"]); // set by the reader, not the page
// The result of a form that was sent: the home page, fetched again, does not have it.
const kept = (node) => node.nodeType === Node.ELEMENT_NODE && node.hasAttribute("data-keep");
const morph = (from, to) => {
  if (kept(from)) return;
  for (const { name, value } of [...to.attributes]) {
    if (!UNTOUCHED.has(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!UNTOUCHED.has(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
  const wanted = new Set([...to.children].map((child) => child.id).filter(Boolean));
  for (const child of [...from.children]) {
    if (child.id && !wanted.has(child.id) && !kept(child)) child.remove();
  }
  let at = from.firstChild;
  for (const node of [...to.childNodes]) {
    const id = node.id || "";
    const twin = id ? [...from.children].find((child) => child.id === id) : at;
    if (!twin || twin.nodeName !== node.nodeName || (twin.id || "") !== id) {
      from.insertBefore(node, at);
      continue;
    }
    // Moving an element takes the focus from it, so what stands before it goes first.
    while (at && at !== twin && !at.id) { const next = at.nextSibling; at.remove(); at = next; }
    if (at === twin) at = at.nextSibling;
    else from.insertBefore(twin, at);
    if (node.nodeType === Node.ELEMENT_NODE) morph(twin, node);
    else if (twin.nodeValue !== node.nodeValue) twin.nodeValue = node.nodeValue;
  }
  while (at) { const next = at.nextSibling; if (!kept(at)) at.remove(); at = next; }
};
export const exchange = (fresh, main = one("main")) => {
  const before = new Map(all("[data-say]", main).map((card) => [card.id, card.dataset.say]));
  const typed = all("input[id]", main).filter((input) => input.value !== input.defaultValue)
    .map((input) => [input.id, input.value]);
  const focused = main.contains(document.activeElement) ? document.activeElement.id : null;
  // First, so that a time which says the same is not touched at all.
  setClock(fresh);
  times(fresh);
  morph(main, fresh);
  for (const [id, value] of typed) {
    const input = document.getElementById(id);
    if (input && input.value !== value) input.value = value;
  }
  if (focused !== null && !main.contains(document.activeElement)) {
    (document.getElementById(focused) || main).focus({ preventScroll: true });
  }
  const news = all("[data-say]", main)
    .filter((card) => before.get(card.id) !== card.dataset.say).map((card) => card.dataset.say);
  if (news.length) say(news.join(". "));
};

// --- asks again after each event ---
const main = one("main");
const home = main.dataset.page || "/";
const followers = [];
export const whenRenewed = (follower) => { followers.push(follower); };
let pending = 0;
let running = false;
const refresh = () => {
  clearTimeout(pending);
  pending = setTimeout(fetchPage, running ? 200 : 30);
};
const fetchPage = async () => {
  if (running) { refresh(); return; }
  running = true;
  try {
    const answer = await ask(home);
    // Logged out elsewhere, or the session is gone: the hub's own page says so.
    if (answer.redirected || [401, 403, 404].includes(answer.status)) {
      location.assign(home);
      return;
    }
    if (!answer.ok) throw new Error(String(answer.status));
    exchange((await parsed(answer)).querySelector("main"));
    for (const follower of followers) await follower();
    lost(false);
  } catch {
    lost(true);
    pending = setTimeout(fetchPage, 3000);
  } finally {
    running = false;
  }
};
const stream = listen(main.dataset.live, {
  opened: refresh,
  refused: refresh,
  events: { sessions: refresh },
});
// Few connections go to one server; hidden tabs must not use them up.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) stream.close(); else stream.open();
});
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("quiet" in form.dataset)) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form));
  fetch(form.action, { method: "POST", body, ...patience(ACT_SECONDS) })
    .then((answer) => { if (answer.ok) refresh(); else form.submit(); }, () => lost(true));
});
setInterval(() => times(main), 20000);
