// Light or dark, as chosen. Runs in <head>, before anything is painted, so it is no module.
"use strict";

(() => {
  const root = document.documentElement;
  const THEME = "slicerhub.theme";

  // A browser may forbid storage; then the choice lasts as long as the page.
  const chosen = () => {
    try { return localStorage.getItem(THEME); } catch { return null; }
  };
  const keep = (theme) => {
    try { localStorage.setItem(THEME, theme); } catch { /* see above */ }
  };
  const paint = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  root.classList.add("js");
  paint(chosen());

  document.addEventListener("DOMContentLoaded", () => {
    const theme = chosen() || "system";
    for (const radio of document.querySelectorAll("input[name=theme]")) {
      radio.checked = radio.value === theme;
      radio.addEventListener("change", () => {
        keep(radio.value);
        paint(radio.value);
      });
    }
    window.addEventListener("storage", (event) => {
      if (event.key === THEME) paint(event.newValue);
    });
  });
})();
