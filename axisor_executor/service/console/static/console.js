// Begins everything: the page is complete without it, but for what renews itself and what switches.

import { drawCharts } from "./charts.js";
import { renewExplanations, toggleExplanation } from "./explanations.js";
import { startLive } from "./live.js";
import { startSwitches } from "./switches.js";

const live = document.getElementById("live");

document.documentElement.classList.add("js");
prepare();
startSwitches(startLive(live, prepare));
live.addEventListener("click", toggleExplanation);

function prepare() {
  drawCharts(live);
  renewExplanations(live);
}
