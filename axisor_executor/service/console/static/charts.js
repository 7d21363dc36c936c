// Three small charts of the last hour, drawn into the page as SVG.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 60;
const COLUMN = 10;
const KINDS = {
  executions: { draw: bars, say: (value) => String(value) },
  errors: { draw: bars, say: (value) => String(value) },
  averageMs: { draw: line, say: lasting },
};

/** Draw every chart within `live` from the minutes that the server told. */
export function drawCharts(live) {
  const charts = live.querySelector("#charts");
  const plots = live.querySelectorAll("[data-plot]");
  if (charts.dataset.minutes === plots[0].dataset.drawn) return;
  const minutes = JSON.parse(charts.dataset.minutes);
  for (const plot of plots) {
    drawOne(plot, minutes);
    plot.dataset.drawn = charts.dataset.minutes;
  }
}

function drawOne(plot, minutes) {
  const kind = plot.dataset.plot;
  const { draw, say } = KINDS[kind];
  const title = plot.parentElement.querySelector("figcaption").textContent;
  const values = minutes.map((one) => one[kind]);
  const most = Math.max(...values.filter((value) => value !== null), 0);
  const width = minutes.length * COLUMN;
  const svg = make("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const newest = values.findLast((value) => value !== null);
  svg.setAttribute("aria-label", most ? `${title}: ${say(newest)} in the newest minute, at most ${say(most)}` : `${title}: none`);
  svg.append(make("line", { class: "axis", x1: 0, x2: width, y1: HEIGHT, y2: HEIGHT }));
  svg.append(...draw(values, most || 1, kind));
  minutes.forEach((one, index) => {
    const hit = make("rect", { class: "hit", x: index * COLUMN, y: 0, width: COLUMN, height: HEIGHT });
    const told = make("title", {});
    told.textContent = `${one.at.slice(11, 16)}: ${one[kind] === null ? "nothing ended" : say(one[kind])}`;
    hit.append(told);
    svg.append(hit);
  });
  plot.replaceChildren(scale(most ? `at most ${say(most)}` : "none", ""), svg, scale(minutes[0].at.slice(11, 16), minutes.at(-1).at.slice(11, 16)));
}

function bars(values, most, kind) {
  return values.flatMap((value, index) => {
    if (!value) return [];
    const height = Math.max((value / most) * HEIGHT, 2);
    return [make("rect", { class: `bar ${kind}`, x: index * COLUMN + 1, y: HEIGHT - height, width: COLUMN - 2, height, rx: 1 })];
  });
}

/** Points with a line between neighbours; over a minute without a value there is none. */
function line(values, most) {
  const at = (value, index) => [index * COLUMN + COLUMN / 2, HEIGHT - (value / most) * (HEIGHT - 4)];
  const parts = values.map((value, index) => {
    if (value === null) return "";
    const [x, y] = at(value, index);
    const isAlone = (values[index - 1] ?? null) === null && (values[index + 1] ?? null) === null;
    if (isAlone) return `M${x - 3} ${y}H${x + 3}`;
    return `${(values[index - 1] ?? null) === null ? "M" : "L"}${x} ${y}`;
  });
  return [make("path", { class: "line", d: parts.join(" ") })];
}

function scale(left, right) {
  const row = document.createElement("div");
  row.className = "scale";
  row.setAttribute("aria-hidden", "true");
  for (const text of [left, right]) {
    const part = document.createElement("span");
    part.textContent = text;
    row.append(part);
  }
  return row;
}

function lasting(milliseconds) {
  return milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

function make(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
