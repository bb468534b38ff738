// Selects rows of the administrators' table. Everything works without it.
(() => {
  "use strict";
  const ticks = () => [...document.querySelectorAll('input[name="id"][form="acts"]')];
  const count = () => {
    const line = document.querySelector("#ticked");
    if (!line) return;
    const all = ticks();
    const selected = all.filter((one) => one.checked).length;
    const text = selected ? `With the ${selected} selected:` : "No session is selected.";
    if (line.textContent !== text) line.textContent = text;
    const whole = document.querySelector("[data-all]");
    whole.checked = selected > 0 && selected === all.length;
    whole.indeterminate = selected > 0 && selected < all.length;
  };
  document.addEventListener("change", ({ target }) => {
    if (target.matches("[data-all]")) for (const one of ticks()) one.checked = target.checked;
    count();
  });
  document.addEventListener("DOMContentLoaded", () => {
    count();
    const rows = document.querySelector("#sessions");
    // Rows come and go by themselves.
    if (rows) new MutationObserver(count).observe(rows, { childList: true, subtree: true });
  });
  window.addEventListener("pageshow", count);
})();
