// Opens an execution's explanation within the list, and keeps an open one up to date.

import { Failure, fetchPart } from "./server.js";

/** Open or close the explanation of the execution that was clicked; with a modifier, the browser opens its page. */
export function toggleExplanation(event) {
  const link = event.target.closest("[data-explain]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  const willOpen = link.getAttribute("aria-expanded") !== "true";
  link.setAttribute("aria-expanded", String(willOpen));
  panelOf(link).hidden = !willOpen;
  if (willOpen) fill(link);
}

/** Say of every link that it opens something, and fetch again what has changed while it is open. */
export function renewExplanations(live) {
  for (const link of live.querySelectorAll("[data-explain]:not([aria-expanded])")) link.setAttribute("aria-expanded", "false");
  for (const link of live.querySelectorAll("[data-explain][aria-expanded=true]")) {
    if (panelOf(link).dataset.filled !== stampOf(link)) fill(link);
  }
}

async function fill(link) {
  const panel = panelOf(link);
  const stamp = stampOf(link);
  if (!panel.childNodes.length) panel.textContent = "Loading…";
  try {
    const told = await fetchPart(`/console/explanations/${encodeURIComponent(link.dataset.explain)}`);
    const open = Array.from(panel.querySelectorAll("details"), (one) => one.open);
    panel.replaceChildren(...told.childNodes);
    panel.querySelectorAll("details").forEach((one, index) => {
      one.open = open[index] ?? false;
    });
    panel.dataset.filled = stamp;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    panel.textContent = `${error.message}. Close and open it to try again.`;
  }
}

function panelOf(link) {
  return link.nextElementSibling;
}

function stampOf(link) {
  return link.parentElement.dataset.stamp;
}
