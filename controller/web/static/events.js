// A stream of events that reconnects by itself, also where EventSource gives up (an answer that is
// no stream).
import { lost } from "./page.js";

export const listen = (url, { opened, events, refused }) => {
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
