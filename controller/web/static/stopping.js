// Asks in a dialog of the home page before a session is stopped; without it a page asks.
import { one } from "./page.js";

const dialog = one("#stop");
if (dialog.showModal) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-stop]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.querySelector("form").action = link.href;
    dialog.querySelector(".subject").textContent = link.dataset.stop;
    dialog.showModal();
    dialog.querySelector("[data-close]").focus();
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}
