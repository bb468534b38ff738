// What a page of a session does when its connection has ended, and the clock of a notice.
// It asks whether its person may still be here. If so, it connects again, with the role that the hub
// gives now; if not, it says so and links to the home page. It does not ask for ever.
(() => {
  const PAUSES = [0.3, 1, 2, 4, 8, 15, 15, 15]; // seconds before each question
  const SHORT_LIFE = 10_000; // milliseconds: a connection that ends so soon was no success
  const PATIENCE = 10_000; // milliseconds for an answer
  const MEMORY = "slicerhub-return";

  const about = (name) => document.querySelector(`meta[name="slicerhub-${name}"]`)?.content ?? "";
  const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

  // Somewhere on the page, once the session has said who looks at it.
  const isOwner = () => document.querySelector("[data-role=owner]") !== null;

  async function look() {
    try {
      const answer = await fetch("./", {
        cache: "no-store",
        redirect: "manual",
        headers: { Accept: "application/json" },
        signal: AbortSignal.timeout(PATIENCE),
      });
      if (answer.ok) return "open";
      // A redirect leads to the log-in.
      if (answer.type === "opaqueredirect" || answer.status === 401) return "shut";
      if (answer.status === 403) return "closed";
      return [404, 410].includes(answer.status) ? "gone" : "away";
    } catch {
      return "away";
    }
  }

  function firstTurn() {
    const { turn, at } = JSON.parse(sessionStorage.getItem(MEMORY) ?? '{"turn": -1, "at": 0}');
    return Date.now() - at < SHORT_LIFE ? turn + 1 : 0;
  }

  // Resolves to whether the session is open to this person again; else they have been told.
  // However much of the page ends at once, a socket and scripts, one asks for all of it.
  let coming = null;
  async function comeBack() {
    coming ??= askAgain();
    const open = await coming;
    if (open) coming = null;
    return open;
  }

  async function askAgain() {
    const owner = isOwner(); // now: what the page is made of may not outlive its connection
    for (let turn = firstTurn(); turn < PAUSES.length; turn++) {
      await sleep(PAUSES[turn]);
      const state = await look();
      if (state === "open") {
        sessionStorage.setItem(MEMORY, JSON.stringify({ turn, at: Date.now() }));
        document.getElementById("ended")?.remove();
        return true;
      }
      // A session is closed to its owner only when it is stopped.
      if (state === "closed" && owner) return end("This session was stopped. Your files are kept.");
      if (["closed", "shut"].includes(state)) return end("Your access to this session has ended.");
      if (state === "gone") return end("This session has ended. Your files are kept.");
      show("The connection is lost; trying again.");
    }
    const again = document.createElement("button");
    again.textContent = "Try again";
    again.addEventListener("click", () => {
      sessionStorage.removeItem(MEMORY);
      location.reload();
    });
    return end("The connection is lost.", again);
  }

  function show(text) {
    let box = document.getElementById("ended");
    if (!box) {
      box = document.createElement("div");
      box.id = "ended";
      box.setAttribute("role", "alert");
      box.style =
        "position: fixed; inset: 0; z-index: 9999; display: grid; place-content: center;" +
        " justify-items: center; gap: .8rem; font: 1.2rem/1.5 system-ui, sans-serif;" +
        " color-scheme: light dark; color: CanvasText;" +
        " background: color-mix(in srgb, Canvas 90%, transparent);";
      box.append(document.createElement("p"));
      box.firstChild.id = "ended-text";
      document.body.append(box);
    }
    box.firstChild.textContent = text;
    return box;
  }

  function end(text, ...more) {
    const home = document.createElement("a");
    home.href = about("home") || "/";
    home.textContent = "Go to your sessions";
    home.style = "color: LinkText;";
    const box = show(text);
    box.style.background = "Canvas"; // nothing goes on behind it
    box.replaceChildren(box.firstChild, ...more, home); // it may have ended before, in other words
    home.focus();
    return false;
  }

  function left(until) {
    const seconds = Math.max(0, Math.round((new Date(until) - Date.now()) / 1000));
    if (Number.isNaN(seconds)) return "";
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  // Every element with data-until shows how long it is until then.
  setInterval(() => {
    for (const each of document.querySelectorAll("[data-until]")) {
      const text = left(each.dataset.until);
      if (each.textContent !== text) each.textContent = text;
    }
  }, 250);

  // A page of which a part did not arrive is dead; networks change while somebody walks about.
  addEventListener(
    "error",
    async (event) => {
      if (event.target instanceof HTMLScriptElement && (await comeBack())) location.reload();
    },
    true,
  );

  window.slicerhubDoor = { about, comeBack, end };
})();
