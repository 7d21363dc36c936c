// Requests to the server that this page came from.

const ROOT = document.documentElement.dataset.root;
const SECONDS = 20;
const CHANGE_SECONDS = 60; // a pause waits for what is on its way

export class Failure extends Error {
  constructor(message, { status = 0, retryAfter = 0 } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** Return the HTML of a part of the page, as a list of nodes that belong to no document yet. */
export async function fetchPart(path) {
  const answer = await ask(path, { signal: AbortSignal.timeout(SECONDS * 1000) });
  return new DOMParser().parseFromString(await answer.text(), "text/html").body;
}

/** Ask for a change and return what the server says of it. */
export async function change(method, path, body) {
  const headers = { "X-CSRF-Token": document.querySelector("meta[name=csrf]")?.content ?? "" };
  const request = { method, headers, signal: AbortSignal.timeout(CHANGE_SECONDS * 1000) };
  if (body) {
    headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  return (await ask(path, request)).json();
}

async function ask(path, request) {
  let answer;
  try {
    answer = await fetch(ROOT + path, { redirect: "error", ...request });
  } catch (error) {
    throw new Failure(error.name === "TimeoutError" ? "The server does not answer" : "The server can't be reached");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) location.assign(`${ROOT}/login?ended=1`);
  const told = await answer.json().catch(() => null);
  throw new Failure(told?.error?.message ?? `The server answered ${answer.status}`, {
    status: answer.status,
    retryAfter: Number(answer.headers.get("Retry-After")) || 0,
  });
}
