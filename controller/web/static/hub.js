// Makes the pages live and quicker to use. Every act works without it, as a plain form or link.
"use strict";

(() => {
  const root = document.documentElement;
  const THEME = "slicerhub.theme";
  const LEFT = "slicerhub.left";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);

  // A browser may forbid storage; then choices last as long as the page.
  const stored = (store, key) => {
    try { return window[store].getItem(key); } catch { return null; }
  };
  const keep = (store, key, value) => {
    try { window[store].setItem(key, value); } catch { /* see above */ }
  };

  // --- colours: runs in <head>, before anything is painted ---
  const paint = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  root.classList.add("js");
  paint(stored("localStorage", THEME));

  const colours = () => {
    const chosen = stored("localStorage", THEME) || "system";
    for (const radio of all("input[name=theme]")) {
      radio.checked = radio.value === chosen;
      radio.addEventListener("change", () => {
        keep("localStorage", THEME, radio.value);
        paint(radio.value);
      });
    }
    window.addEventListener("storage", (event) => {
      if (event.key === THEME) paint(event.newValue);
    });
  };

  const menus = () => {
    const close = (keepOpen) => {
      for (const menu of all("details.menu[open]")) if (menu !== keepOpen) menu.open = false;
    };
    document.addEventListener("click", (event) => close(event.target.closest("details.menu")));
    document.addEventListener("focusin", (event) => close(event.target.closest("details.menu")));
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      const menu = event.target.closest("details.menu[open]");
      if (!menu) return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  };

  // --- times: in the reader's zone, and counted from the server's clock ---
  let ahead = 0; // milliseconds that the server's clock is ahead of this one
  const setClock = (main) => {
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
  const times = (within) => {
    const now = new Date(Date.now() + ahead);
    for (const time of all("time[datetime]", within)) {
      const at = new Date(time.dateTime);
      const text = "ago" in time.dataset ? ago(at, now) : clock(at, now);
      if (time.textContent !== text) time.textContent = text;
      time.title = at.toLocaleString();
    }
  };

  // Behind an open dialog nothing is heard.
  const say = (text) => { (one("dialog[open] .said") || one("#said")).textContent = text; };
  const lost = (is) => {
    const line = one("#connection");
    const text = is ? "Connection lost. Trying again…" : "";
    if (line.textContent !== text) line.textContent = text;
  };

  // --- log in ---
  const login = () => {
    const password = one("#password");
    const reveal = one("#reveal");
    if (!password || !reveal) return;
    reveal.addEventListener("click", () => {
      const show = password.type === "password";
      password.type = show ? "text" : "password";
      reveal.setAttribute("aria-pressed", String(show));
      reveal.firstChild.nodeValue = show ? "Hide" : "Show";
      password.focus();
    });
    const told = one("#capslock");
    const look = (event) => {
      // Autofill sends key events that have no modifiers.
      if (!event.getModifierState) return;
      const text = event.getModifierState("CapsLock") ? "Caps Lock is on." : "";
      if (told.textContent !== text) told.textContent = text;
    };
    for (const kind of ["keydown", "keyup"]) password.addEventListener(kind, look);
    password.addEventListener("blur", () => { told.textContent = ""; });
    // A revealed password must not be remembered by the browser as ordinary text.
    password.form.addEventListener("submit", () => { password.type = "password"; });
  };

  // A second click while the first is under way does nothing.
  const once = () => {
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
  };

  const stopping = () => {
    const dialog = one("#stop");
    if (!dialog || !dialog.showModal) return;
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
  };

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
  const exchange = (fresh, main = one("main")) => {
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

  // --- events; reconnects by itself, also where EventSource gives up (an answer that is no stream)
  const listen = (url, { opened, events, refused }) => {
    let source = null;
    let wanted = true;
    let wait = 1000;
    let timer = 0;
    let telling = 0;
    const close = () => {
      clearTimeout(timer);
      clearTimeout(telling);
      if (source) source.close();
      source = null;
    };
    const open = () => {
      close();
      source = new EventSource(url);
      source.onopen = () => {
        wait = 1000;
        clearTimeout(telling);
        telling = 0;
        lost(false);
        if (opened) opened();
      };
      source.onerror = () => {
        // A stream that ends and opens again at once is not worth a message.
        telling = telling || setTimeout(() => lost(true), 1500);
        if (source.readyState !== EventSource.CLOSED) return;
        if (refused) refused();
        timer = setTimeout(open, wait);
        wait = Math.min(wait * 2, 10000);
      };
      for (const [name, handle] of Object.entries(events)) source.addEventListener(name, handle);
    };
    window.addEventListener("offline", () => lost(true));
    window.addEventListener("online", () => { if (wanted) open(); });
    window.addEventListener("pagehide", close);
    window.addEventListener("pageshow", (event) => { if (event.persisted && wanted) open(); });
    open();
    return {
      open: () => { wanted = true; open(); },
      close: () => { wanted = false; close(); },
    };
  };

  const parsed = async (answer) => (
    new DOMParser().parseFromString(await answer.text(), "text/html")
  );
  const ask = (url) => fetch(url, { headers: { Accept: "text/html" }, cache: "no-store" });

  const live = (renewed) => {
    const main = one("main");
    const url = main.dataset.live;
    const home = main.dataset.page || "/";
    if (!url) return;
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
        await renewed();
        lost(false);
      } catch {
        lost(true);
        pending = setTimeout(fetchPage, 3000);
      } finally {
        running = false;
      }
    };
    const stream = listen(url, {
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
      fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) })
        .then((answer) => { if (answer.ok) refresh(); else form.submit(); }, () => lost(true));
    });
    setInterval(() => times(main), 20000);
  };

  // --- sharing: a page, and where there is room the same as a dialog over the first one ---
  const PART = "#share-page";
  const sharing = () => {
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
        const answer = await fetch(form.action, { method: "POST", body });
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
      say("The link is copied.");
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
        } catch { /* away, or a newer question: a name can be typed in full */ }
      }, 200);
    });
    return async () => {
      if (!dialog || !dialog.open || !dialog.querySelector(PART)) return;
      const answer = await ask(address);
      const part = answer.ok && (await parsed(answer)).querySelector(PART);
      if (part) exchange(part, one(PART)); else dialog.close();
    };
  };

  // --- starting ---
  const ordinals = new Intl.PluralRules("en", { type: "ordinal" });
  const inQueue = (n) => (n === 1 ? "Next in the queue"
    : `${n}${{ one: "st", two: "nd", few: "rd", other: "th" }[ordinals.select(n)]} in the queue`);
  const lasted = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    const rest = seconds % 60;
    return `${Math.floor(seconds / 60)} min${rest ? ` ${rest} s` : ""}`;
  };
  const progress = () => {
    const main = one("main");
    if (!main.dataset.progress) return;
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
    // Should the server answer with this very page once more, it must not spin.
    const leave = (url) => {
      const soon = Date.now() - Number(stored("sessionStorage", LEFT)) < 3000;
      keep("sessionStorage", LEFT, String(Date.now()));
      setTimeout(() => location.replace(url), soon ? 1500 : 0);
    };
    const look = async () => {
      const stop = new AbortController();
      try {
        const answer = await fetch(main.dataset.progress, { signal: stop.signal });
        // Gone, or logged out elsewhere: the server's own page says which.
        if ([401, 403, 404].includes(answer.status)) leave(location.href);
      } catch { /* away: the line at the top says so, and another try follows */ }
      stop.abort();
    };
    const stream = listen(main.dataset.progress, {
      refused: look,
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
  };

  const retry = () => {
    const line = one("#retry");
    if (!line) return;
    let left = Number(line.dataset.seconds);
    setInterval(() => {
      left -= 1;
      if (left <= 0) { location.replace(location.href); left = Number(line.dataset.seconds); return; }
      line.textContent = `Trying again in ${left} s`;
    }, 1000);
  };

  document.addEventListener("DOMContentLoaded", () => {
    const main = one("main");
    setClock(main);
    times(main);
    for (const part of [colours, menus, login, once, stopping, progress, retry]) part();
    live(sharing());
  });
})();
