// Makes one tree of nodes like another with as few changes as can be: focus, selection and what is open stay.

const OWN = new Set(["aria-expanded", "open", "hidden"]); // set by people who use the page

/** Give `from` the children of `to`. What is marked `data-own` belongs to the page's scripts, and is left alone. */
export function morph(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  const wanted = new Set(Array.from(to.children, (child) => child.dataset.key));
  for (const [key, child] of keyed) {
    if (wanted.has(key) || isInUse(child)) continue;
    keyed.delete(key);
    child.remove();
  }
  let place = from.firstChild;
  for (const next of Array.from(to.childNodes)) {
    while (isBlank(place) && !isBlank(next)) {
      const blank = place;
      place = place.nextSibling;
      blank.remove();
    }
    const match = next.dataset?.key ? keyed.get(next.dataset.key) : alike(place, next);
    if (!match) {
      from.insertBefore(next, place);
      if (keyed.size) next.classList?.add("new");
      continue;
    }
    if (match === place) place = place.nextSibling;
    else from.insertBefore(match, place);
    become(match, next);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    if (!isInUse(gone)) gone.remove();
  }
}

function become(node, next) {
  if (node.nodeType === Node.TEXT_NODE) {
    if (node.data !== next.data) node.data = next.data;
    return;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.hasAttribute("data-own")) return;
  for (const { name, value } of Array.from(next.attributes)) {
    if (!OWN.has(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  for (const { name } of Array.from(node.attributes)) {
    if (!OWN.has(name) && !next.hasAttribute(name)) node.removeAttribute(name);
  }
  morph(node, next);
}

/** Return the node at a place if it can become the next one. */
function alike(place, next) {
  const isLike = place && place.nodeName === next.nodeName && !place.dataset?.key;
  return isLike ? place : null;
}

/** Whether it is the white space between two tags, of which a part of a page has less than the whole. */
function isBlank(node) {
  return node?.nodeType === Node.TEXT_NODE && !node.data.trim();
}

/** Whether somebody reads an explanation in there: it stays until it is closed. */
function isInUse(node) {
  return node.nodeType === Node.ELEMENT_NODE && node.querySelector("[aria-expanded=true]") !== null;
}
