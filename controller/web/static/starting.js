// The page of a session that starts: how far it is, and on to the session once it is ready.
import { listen } from "./events.js";
import { all, ASK_SECONDS, one, patience, say } from "./page.js";

const LEFT = "slicerhub.left"; // when this page was left
const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
const inQueue = (n) => (n === 1 ? "Next in the queue"
  : `${n}${{ one: "st", two: "nd", few: "rd", other: "th" }[ordinals.select(n)]} in the queue`);
const lasted = (seconds) => {
  if (seconds < 60) return `${seconds} s`;
  const rest = seconds % 60;
  return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
};
const main = one("main");
const list = one("#steps");
const counter = one("#elapsed");
const title = main.dataset.title;
let begun = Date.now() - Number(counter.dataset.seconds) * 1000;
const tick = () => {
  const text = lasted(Math.max(0, Math.floor((Date.now() - begun) / 1000)));
  if (counter.textContent !== text) counter.textContent = text;
};
const show = (steps) => {
  const slices = Number(list.dataset.slices);
  let weight = 0;
  steps.forEach((step, index) => {
    let item = list.children[index];
    if (!item) {
      list.append(one("#step").content.cloneNode(true));
      item = list.lastElementChild;
    }
    if (item.dataset.state !== step.state && step.state === "active") say(step.title);
    item.dataset.state = step.state;
    item.querySelector(".what").textContent = step.title;
    item.querySelector(".detail").textContent = step.detail || "";
    weight += { done: 1, active: 0.5 }[step.state] || 0;
  });
  while (list.children.length > steps.length) list.lastElementChild.remove();
  const filled = steps.length ? Math.round((slices * weight) / steps.length) : 0;
  all(".welcome .drawing ellipse").forEach((slice, index) => {
    slice.classList.toggle("on", index < filled);
  });
};
const doing = one("#doing");
const spot = one("#place");
const wait = (place) => {
  spot.hidden = !place;
  list.hidden = Boolean(place);
  const [position, what] = place ? [inQueue(place.position), place.waits_for] : ["", ""];
  // Writing the same text again would make it be read aloud again.
  const texts = [[".position", position], ["span", what]];
  for (const [selector, text] of texts) {
    const part = spot.querySelector(selector);
    if (part.textContent !== text) part.textContent = text;
  }
  const words = place ? "Waiting to start" : "Starting";
  if (doing.textContent === words) return;
  doing.textContent = words;
  document.title = `${words} ${title} · 3D Slicer Hub`;
};
// If the server answers with this page again, it must not reload in a loop.
const leave = (url) => {
  let soon = false;
  // A browser may forbid storage.
  try {
    soon = Date.now() - Number(sessionStorage.getItem(LEFT)) < 3000;
    sessionStorage.setItem(LEFT, String(Date.now()));
  } catch { /* then it asks at once */ }
  setTimeout(() => location.replace(url), soon ? 1500 : 0);
};
const check = async () => {
  try {
    const answer = await fetch(main.dataset.progress, patience(ASK_SECONDS));
    // Gone, or logged out elsewhere: the server's own page says which.
    if ([401, 403, 404].includes(answer.status)) leave(location.href);
    await answer.body.cancel(); // if it is a stream by now, another one follows it
  } catch { /* no answer: the message at the top says so, and it is tried again */ }
};
const stream = listen(main.dataset.progress, {
  refused: check,
  events: {
    progress: (event) => {
      const news = JSON.parse(event.data);
      begun = Date.now() - news.elapsed * 1000;
      tick();
      show(news.steps);
      wait(news.place);
      one("#message").textContent = (!news.place && news.message) || "";
      if (!["ready", "failed", "stopping"].includes(news.phase)) return;
      stream.close();
      if (news.phase === "ready") {
        say(`${title} is ready.`);
        document.title = `Ready: ${title}`;
        leave(news.url);
      } else leave(news.phase === "failed" ? location.href : "/");
    },
  },
});
setInterval(tick, 1000);
