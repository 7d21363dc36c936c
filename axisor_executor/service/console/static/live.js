// Fetches the changing part of the page every few seconds, while somebody looks; says so when it is old.

import { morph } from "./morph.js";
import { fetchPart } from "./server.js";

const EVERY = 3;
const LONGEST = 60;
const STALE_AFTER = 20;
const SAID_FOR = 20;

/** Keep `live` fresh; call `renewed` after each time. Return a function that fetches at once. */
export function startLive(live, renewed) {
  const link = document.getElementById("link");
  const text = document.getElementById("link-text");
  const hold = document.getElementById("hold");
  const away = document.getElementById("away");
  let seen = Date.now();
  let failures = 0;
  let problem = "";
  let nextAt = 0;
  let timer;
  let underWay = null;
  let isHeld = false;

  const isPaused = () => isHeld || document.hidden;

  function show() {
    const age = Math.round((Date.now() - seen) / 1000);
    const state = isHeld ? "held" : failures ? "away" : "live";
    const at = live.querySelector("[data-at]").dataset.at.slice(11, 19);
    const words = { live: `Live, ${at} UTC`, held: `On hold since ${at} UTC`, away: `Not renewed for ${age} s` };
    link.dataset.state = state;
    text.textContent = words[state];
    document.body.classList.toggle("stale", age > STALE_AFTER && !document.hidden && !isHeld);
    away.hidden = state !== "away";
    if (!away.hidden) {
      const wait = Math.max(Math.ceil((nextAt - Date.now()) / 1000), 0);
      away.textContent = `${problem}. What you see is of ${at} UTC. ${wait ? `Trying again in ${wait} s.` : "Trying again."}`;
    }
  }

  function plan(seconds) {
    clearTimeout(timer);
    nextAt = Date.now() + seconds * 1000;
    if (!isPaused()) timer = setTimeout(renew, seconds * 1000);
  }

  async function fetchOnce() {
    try {
      const fresh = await fetchPart(`/console/live${location.search}`);
      morph(live, fresh);
      if (failures) announce("The server answers again.");
      failures = 0;
      seen = Date.now();
      renewed();
      plan(EVERY);
    } catch (error) {
      failures += 1;
      problem = error.message;
      if (failures === 1) announce(`${problem}. The page is not up to date.`);
      plan(Math.max(Math.min(EVERY * 2 ** failures, LONGEST), error.retryAfter ?? 0));
    }
    show();
  }

  function renew() {
    clearTimeout(timer);
    underWay ??= fetchOnce().finally(() => {
      underWay = null;
    });
    return underWay;
  }

  hold.addEventListener("click", () => {
    isHeld = !isHeld;
    hold.setAttribute("aria-pressed", String(isHeld));
    hold.textContent = isHeld ? "Go on" : "Hold";
    if (isHeld) clearTimeout(timer);
    else renew();
    show();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!isHeld) renew();
    show();
  });
  setInterval(show, 1000);
  plan(EVERY);
  show();

  return async () => {
    await underWay;
    await renew();
  };
}

let silence;

/** Say something for a while, also to people who don't see the page. */
export function announce(text) {
  const said = document.getElementById("said");
  clearTimeout(silence);
  said.textContent = text;
  silence = setTimeout(() => said.replaceChildren(), SAID_FOR * 1000);
}
