// Sharing: a page, and where there is room the same as a dialog over the home page.
import { ask, exchange, parsed, whenRenewed } from "./live.js";
import { ACT_SECONDS, all, lost, one, patience, say, times } from "./page.js";

const PART = "#share-page";
const dialog = one("#share");
let address = ""; // of what the dialog shows
const open = async (link) => {
  const answer = await ask(link.href);
  const part = answer.ok && !answer.redirected && (await parsed(answer)).querySelector(PART);
  if (!part) throw new Error(String(answer.status));
  if (dialog.open) return;
  times(part);
  all(PART, dialog).forEach((old) => old.remove());
  dialog.append(part);
  address = link.href;
  dialog.showModal();
  dialog.scrollTop = 0; // its own first focus may have moved it
  one("#share-user").focus();
};
if (dialog && dialog.showModal) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-share]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (matchMedia("(max-width: 39.99rem)").matches) return;
    event.preventDefault();
    // The hub's own page says what is wrong.
    open(link).catch(() => location.assign(link.href));
  });
  dialog.addEventListener("click", (event) => {
    if (event.target !== dialog && !event.target.closest("[data-close]")) return;
    event.preventDefault();
    dialog.close();
  });
}
const send = async (form, button) => {
  const body = new URLSearchParams(new FormData(form));
  try {
    const answer = await fetch(form.action, { method: "POST", body, ...patience(ACT_SECONDS) });
    const part = (await parsed(answer)).querySelector(PART);
    if (!part) { location.assign(address || one("main").dataset.page); return; }
    // The result of the act before this one has been read.
    for (const old of all(`${PART} [data-keep]:not(datalist)`)) old.remove();
    if (!part.querySelector(".refused")) form.reset();
    exchange(part, one(PART));
    const link = one("#share-url");
    if (link) { link.focus(); link.select(); }
    lost(false);
  } catch {
    lost(true);
  } finally {
    delete form.dataset.sent;
    button.removeAttribute("aria-busy");
  }
};
document.addEventListener("submit", (event) => {
  if (event.defaultPrevented || !event.target.closest(PART)) return;
  event.preventDefault();
  send(event.target, event.submitter);
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  // Without TLS the clipboard is reached only by the old command.
  try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
  button.firstChild.nodeValue = "Copied";
  say("The link was copied.");
});
let timer = 0;
let asked = new AbortController();
document.addEventListener("input", ({ target: field }) => {
  if (!field.dataset.suggest) return;
  clearTimeout(timer);
  asked.abort();
  const typed = field.value.trim();
  if (typed.length < 3) { field.list.replaceChildren(); return; }
  timer = setTimeout(async () => {
    asked = new AbortController();
    try {
      const url = `${field.dataset.suggest}?q=${encodeURIComponent(typed)}`;
      const answer = await fetch(url, { signal: asked.signal });
      if (!answer.ok) return;
      const { items } = await answer.json();
      field.list.replaceChildren(...items.map((one) => new Option(one.display_name, one.user)));
    } catch { /* no answer, or a newer request: a name can be typed in full */ }
  }, 200);
});
whenRenewed(async () => {
  if (!dialog || !dialog.open || !dialog.querySelector(PART)) return;
  const answer = await ask(address);
  const part = answer.ok && (await parsed(answer)).querySelector(PART);
  if (part) exchange(part, one(PART)); else dialog.close();
});
