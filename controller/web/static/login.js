// The page to log in: shows the password, and says that Caps Lock is on.
import { one } from "./page.js";

const password = one("#password");
const reveal = one("#reveal");
reveal.addEventListener("click", () => {
  const show = password.type === "password";
  password.type = show ? "text" : "password";
  reveal.setAttribute("aria-pressed", String(show));
  reveal.firstChild.nodeValue = show ? "Hide" : "Show";
  password.focus();
});
const told = one("#capslock");
const checkCapsLock = (event) => {
  // Autofill sends key events that have no modifiers.
  if (!event.getModifierState) return;
  const text = event.getModifierState("CapsLock") ? "Caps Lock is on." : "";
  if (told.textContent !== text) told.textContent = text;
};
for (const kind of ["keydown", "keyup"]) password.addEventListener(kind, checkCapsLock);
password.addEventListener("blur", () => { told.textContent = ""; });
// A revealed password must not be remembered by the browser as ordinary text.
password.form.addEventListener("submit", () => { password.type = "password"; });
