// A stream of events that reconnects by itself, also where EventSource gives up (an answer that is
// no stream) or notices nothing (a stream that stays open though nothing comes any more).
import { lost } from "./page.js";

// Milliseconds: together two and a half of the server's heartbeats. Events that came while the page
// slept are handled in the second part: a timer that ran late says nothing about the stream.
const QUIET = 14000;
const GRACE = 1000;

export const listen = (url, { opened, events, refused }) => {
  let source = null;
  let wanted = true;
  let wait = 1000;
  let timer = 0;
  let watch = 0;
  let telling = 0;
  const drop = () => {
    clearTimeout(timer);
    clearTimeout(watch);
    if (source) source.close();
    source = null;
  };
  const close = () => {
    drop();
    clearTimeout(telling);
    telling = 0;
  };
  // A stream that ends and opens again at once is not worth a message.
  const miss = () => { telling = telling || setTimeout(() => lost(true), 1500); };
  const silent = () => { miss(); open(); };
  const heard = () => {
    clearTimeout(watch);
    watch = setTimeout(() => { watch = setTimeout(silent, GRACE); }, QUIET);
  };
  const open = () => {
    drop();
    heard();
    source = new EventSource(url);
    source.onopen = () => {
      wait = 1000;
      clearTimeout(telling);
      telling = 0;
      lost(false);
      heard();
      if (opened) opened();
    };
    source.onerror = () => {
      miss();
      if (source.readyState !== EventSource.CLOSED) return;
      clearTimeout(watch);
      if (refused) refused();
      timer = setTimeout(open, wait);
      wait = Math.min(wait * 2, 10000);
    };
    source.addEventListener("heartbeat", heard);
    for (const [name, handle] of Object.entries(events)) {
      source.addEventListener(name, (event) => { heard(); handle(event); });
    }
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
