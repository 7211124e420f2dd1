// Charts of a Deployment, drawn by uPlot. Without this file the page has its figures and the download.
import { dataOf, optionsFor } from "./chart-drawing.js";
import { tableOf } from "./chart-table.js";
import { moment, WORDS } from "./chart-words.js";

const root = document.querySelector("[data-charts]");
const drawn = new Map(); // chart key: { plot, chart, begin }
const widthOf = (box) => Math.max(160, Math.floor(box.clientWidth));

// ---------- Reading: by pointer and by key, as words and as a table ----------
function wordsAt(chart, at, zone) {
  const word = WORDS[chart.unit];
  const known = chart.lines.filter((line) => line.values[at] !== null);
  const values = known.map((line) => `${line.label} ${word(line.values[at])}`);
  return `${moment(chart.begin + at * chart.step, zone)}: ${values.join(", ") || "no data"}`;
}
function readOut(plot, panel, key, zone) {
  const at = plot.cursor.idx;
  const chart = drawn.get(key)?.chart;
  panel.querySelector("[data-readout]").textContent = at === null || at === undefined || !chart ? "" : wordsAt(chart, at, zone);
}
function show(begin, end) {
  const written = (at) => new Date(at * 1000).toISOString().slice(0, 16);
  const asked = new URLSearchParams(location.search);
  for (const name of ["range", "live", "page"]) asked.delete(name);
  asked.set("from", written(begin));
  asked.set("to", written(Math.max(end, begin + 300)));
  location.search = `?${asked}`;
}
function zoom(plot) {
  const { left, width } = plot.select;
  if (width > 4) show(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
}
function readByKey(event, box, key) {
  const { plot, chart } = drawn.get(key);
  const last = chart.lines[0].values.length - 1;
  const at = Number(box.dataset.at ?? last);
  const steps = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last };
  if (event.key in steps) {
    event.preventDefault();
    const next = Math.min(last, Math.max(0, steps[event.key]));
    box.dataset.from = event.shiftKey ? (box.dataset.from ?? at) : next;
    box.dataset.at = next;
    plot.setCursor({ left: Math.max(0, plot.valToPos(chart.begin + next * chart.step, "x")), top: 10 });
    box.parentElement.querySelector("[data-readout]").textContent = wordsAt(chart, next, shown.zone);
  } else if (event.key === "Enter" && Number(box.dataset.from ?? at) !== at) {
    const [first, until] = [Number(box.dataset.from), at].sort((one, other) => one - other);
    show(chart.begin + first * chart.step, chart.begin + (until + 1) * chart.step);
  }
}
function fillTable(panel, key, zone) {
  const details = panel.querySelector("[data-table]");
  const known = drawn.get(key);
  if (details.open && known) details.querySelector(".table").replaceChildren(tableOf(known.chart, zone));
}

// ---------- The page ----------
function draw(panel, chart, all) {
  const box = panel.querySelector("[data-plot]");
  const was = drawn.get(chart.key);
  const isSame = was && was.chart.lines.length === chart.lines.length && was.begin === all.begin;
  drawn.set(chart.key, { ...was, chart, begin: all.begin });
  panel.querySelector("[data-figure]").textContent = chart.figure;
  panel.querySelector("[data-detail]").textContent = chart.detail;
  if (isSame) was.plot.setData(dataOf(chart));
  else {
    was?.plot?.destroy();
    const options = optionsFor({
      chart,
      all,
      width: widthOf(box),
      height: panel.closest("[data-size=s]") ? 150 : 200,
      newest: () => drawn.get(chart.key)?.chart,
      onCursor: (plot) => readOut(plot, panel, chart.key, all.zone),
      onSelect: zoom,
    });
    const plot = new uPlot(options, dataOf(chart), box);
    plot.root.querySelector("canvas").setAttribute("aria-hidden", "true");
    drawn.set(chart.key, { plot, chart, begin: all.begin });
  }
  fillTable(panel, chart.key, all.zone);
}
function prepare(panel, all) {
  const key = panel.dataset.chart;
  const box = panel.querySelector("[data-plot]");
  if (box.tabIndex === 0) return;
  const title = panel.querySelector("h2, h3").textContent;
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `Chart of ${title}. Arrow keys read it, Shift and arrow keys select, Enter zooms in.`);
  box.addEventListener("keydown", (event) => readByKey(event, box, key));
  panel.querySelector("[data-table]").addEventListener("toggle", () => fillTable(panel, key, all.zone));
  new ResizeObserver(() => {
    const plot = drawn.get(key)?.plot;
    if (plot && plot.width !== widthOf(box)) plot.setSize({ width: widthOf(box), height: plot.height });
  }).observe(box);
}
let shown = null;
function drawAll(all) {
  shown = all;
  for (const chart of all.charts) {
    const panel = root.querySelector(`[data-chart="${CSS.escape(chart.key)}"]`);
    if (!panel) continue;
    prepare(panel, all);
    draw(panel, chart, all);
  }
}
function redraw() {
  for (const { plot } of drawn.values()) plot?.destroy();
  drawn.clear();
  if (shown) drawAll(shown);
}
const note = root?.querySelector("[data-charts-note]");
function tell(text) {
  note.hidden = !text;
  note.textContent = text;
}
async function load() {
  try {
    const response = await fetch(root.dataset.points, { headers: { Accept: "application/json" }, redirect: "error" });
    if (!response.ok) throw new Error(`the portal answered ${response.status}`);
    drawAll(await response.json());
    tell("");
    return true;
  } catch (error) {
    tell(`The charts could not be loaded: ${error.message}. Reload the page.`);
    return false;
  }
}
async function refresh() {
  if (document.hidden) return;
  const clock = document.querySelector("[data-live] time");
  if (await load()) {
    if (clock) clock.textContent = clock.textContent.replace(/^\S+/, new Date().toLocaleTimeString("en-GB", { timeZone: shown.zone }));
  }
}
if (root) {
  tell("Loading the charts…");
  await load();
  if (root.dataset.seconds) setInterval(refresh, Number(root.dataset.seconds) * 1000);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
}
