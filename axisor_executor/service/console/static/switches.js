// Pause, reduce only, resume: asked once more before, told after.

import { announce } from "./live.js";
import { Failure, change } from "./server.js";

const TITLES = { paused: "Pause", reduce_only: "Only reduce risk:", resume: "Resume" };
const CONSEQUENCES = {
  paused: "No request leaves any more, guards included. What has left already is finished and told. Jobs wait.",
  reduce_only: "Entries wait; what closes, reduces or protects a position goes on.",
  resume: "What waited for it goes on at once.",
};

/** Listen to every switch on the page; `renew` fetches the page's state after a change. */
export function startSwitches(renew) {
  const dialog = document.getElementById("confirm");
  if (!dialog) return;
  const yes = document.getElementById("confirm-yes");
  const problem = document.getElementById("confirm-problem");
  const reason = document.getElementById("reason");
  let asked = null;

  function ask(wanted) {
    asked = wanted;
    const name = nameOf(wanted);
    document.getElementById("confirm-title").textContent = `${TITLES[wanted.mode]} ${name}?`;
    document.getElementById("confirm-text").textContent = CONSEQUENCES[wanted.mode];
    document.getElementById("confirm-why").hidden = wanted.mode === "resume";
    dialog.classList.toggle("danger", wanted.mode === "paused");
    yes.textContent = { paused: "Pause", reduce_only: "Reduce only", resume: "Resume" }[wanted.mode];
    problem.hidden = true;
    reason.value = "";
    dialog.showModal();
  }

  async function carryOut() {
    const label = yes.textContent;
    yes.disabled = true;
    yes.textContent = "Waiting for what is on its way…";
    problem.hidden = true;
    try {
      const told = asked.mode === "resume" ? await resume(asked) : await pause(asked, reason.value.trim());
      dialog.close();
      announce(told);
      await renew();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      problem.textContent = error.status ? `${error.message}.` : `${error.message}. It may have been set: look before you go on.`;
      problem.hidden = false;
    } finally {
      yes.disabled = false;
      yes.textContent = label;
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-switch]");
    if (!button) return;
    const { scope, id, name } = button.dataset;
    ask({ scope, id, name, mode: button.dataset.switch });
  });
  document.addEventListener("submit", (event) => {
    if (!event.target.matches("#switch-form")) return; // its `id` is the field of that name
    event.preventDefault();
    const fields = new FormData(event.target);
    ask({ scope: fields.get("scope"), id: fields.get("id").trim(), name: "", mode: event.submitter.value });
  });
  dialog.querySelector("form").addEventListener("submit", (event) => {
    event.preventDefault();
    carryOut();
  });
  document.getElementById("confirm-no").addEventListener("click", () => dialog.close());
}

async function pause(asked, reason) {
  const body = { scope: asked.scope, mode: asked.mode };
  if (asked.scope !== "all") body.id = asked.id;
  if (reason) body.reason = reason;
  const { alreadyOut } = await change("POST", "/api/switches", body);
  const said = `${capital(nameOf(asked))}: ${asked.mode === "paused" ? "paused" : "only reduces risk now"}.`;
  if (!alreadyOut.length) return said;
  return `${said} ${alreadyOut.length} request${alreadyOut.length === 1 ? " had" : "s had"} left before: ${alreadyOut.map((one) => `${one.action} (${one.status})`).join(", ")}.`;
}

async function resume(asked) {
  const query = new URLSearchParams({ scope: asked.scope });
  if (asked.scope !== "all") query.set("id", asked.id);
  const { removed } = await change("DELETE", `/api/switches?${query}`);
  return removed ? `${capital(nameOf(asked))}: goes on.` : `${capital(nameOf(asked))}: no switch was set.`;
}

function nameOf({ scope, id, name }) {
  return scope === "all" ? "everything" : `${scope} ${name || id}`;
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
