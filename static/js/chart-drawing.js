// How a chart is drawn: what stands on what, colors, gaps, marks. uPlot is there before modules run.
import { WORDS } from "./chart-words.js";

const HATCH = 6;
const MARK = 5;
// Between the lines of a grid: round numbers of each unit.
const INCREMENTS = {
  seconds: [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 172800, 864000],
  bytes: Array.from({ length: 44 }, (_, power) => 2 ** power),
};

// ---------- Colors: those of the page, whatever its theme is ----------
const probe = document.createElement("span");
probe.className = "probe";
probe.hidden = true;
document.body.append(probe);
function color(tone) {
  probe.dataset.tone = tone;
  return getComputedStyle(probe).color;
}
function hatch(context) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = HATCH * 2;
  const pen = tile.getContext("2d");
  pen.strokeStyle = color("edge");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, tile.height);
  pen.lineTo(tile.width, 0);
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// ---------- Data ----------
const timesOf = (chart) => chart.lines[0].values.map((_, place) => chart.begin + place * chart.step);
const isStacked = (chart, line) => chart.stacked && ["bars", "area"].includes(line.drawing);
// Lines that stand on each other are drawn as sums, the highest first, so that the lower ones cover them.
function layers(chart) {
  const sums = [];
  let below = null;
  for (const line of chart.lines) {
    if (!isStacked(chart, line)) {
      sums.push({ line, values: line.values });
      continue;
    }
    const base = below;
    below = line.values.map((value, at) => (value === null && (base?.[at] ?? null) === null ? null : (value ?? 0) + (base?.[at] ?? 0)));
    sums.push({ line, values: below });
  }
  const stacked = sums.filter(({ line }) => isStacked(chart, line)).reverse();
  return [...stacked, ...sums.filter(({ line }) => !isStacked(chart, line))];
}
export const dataOf = (chart) => [timesOf(chart), ...layers(chart).map((layer) => layer.values)];

// ---------- Drawing ----------
function seriesOf({ line }, stacked) {
  const ink = color(line.tone);
  const shared = { label: line.label, spanGaps: false, points: { show: false } };
  const { paths } = uPlot;
  if (line.drawing === "bars") return { ...shared, fill: ink, stroke: ink, width: 0, paths: paths.bars({ size: [0.86, 40], align: 1 }) };
  const soft = ink.replace(/^rgb\((.*)\)$/, "rgba($1, 0.3)");
  if (line.drawing === "area") return { ...shared, fill: stacked ? ink : soft, stroke: ink, width: 1.5, paths: paths.stepped({ align: 1 }) };
  if (line.drawing === "step") return { ...shared, stroke: ink, width: 2, paths: paths.stepped({ align: 1 }) };
  if (line.drawing === "limit") return { ...shared, stroke: ink, width: 1.5, dash: [6, 4] };
  return { ...shared, stroke: ink, width: 2, dash: line.drawing === "dashes" ? [5, 3] : undefined };
}
function drawGaps(plot, chart) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = hatch(ctx);
  for (const [begin, end] of chart.gaps) {
    const left = Math.max(bbox.left, plot.valToPos(begin, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(end, "x", true));
    if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}
// A deploy points up, an incident down, anything else is a square.
const MARK_TONES = { deploy: "move", incident: "bad" };
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  const size = MARK * devicePixelRatio;
  ctx.save();
  for (const mark of marks) {
    const at = plot.valToPos(mark.at, "x", true);
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    const isDeploy = mark.kind === "deploy";
    ctx.strokeStyle = ctx.fillStyle = color(MARK_TONES[mark.kind] || "idle");
    ctx.setLineDash([devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    if (isDeploy) {
      ctx.moveTo(at, bbox.top - 2 * size);
      ctx.lineTo(at + size, bbox.top);
      ctx.lineTo(at - size, bbox.top);
    } else if (mark.kind === "incident") {
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at + size, bbox.top - 2 * size);
      ctx.lineTo(at - size, bbox.top - 2 * size);
    } else ctx.rect(at - size * 0.8, bbox.top - 1.8 * size, 1.6 * size, 1.6 * size);
    ctx.fill();
  }
  ctx.restore();
}
export function optionsFor({ chart, all, width, height, newest, onCursor, onSelect }) {
  const axis = { stroke: color("text"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
  const word = WORDS[chart.unit];
  return {
    width,
    height,
    padding: [12, 20, 0, 0],
    tzDate: (at) => uPlot.tzDate(new Date(at * 1000), all.zone),
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, y: false, points: { show: false } },
    scales: { x: { range: [all.begin, all.end] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] } },
    axes: [
      { ...axis, space: 70, grid: { show: false }, values: [
        [86400, "{D} {MMM}", null, null, null, null, null, null, 1],
        [3600, "{HH}:00", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
        [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
        [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
      ] },
      { ...axis, size: chart.unit === "seconds" ? 76 : 64, space: 34, incrs: INCREMENTS[chart.unit], values: (_, ticks) => ticks.map((tick) => word(tick)) },
    ],
    series: [{}, ...layers(chart).map((layer) => seriesOf(layer, chart.stacked))],
    hooks: {
      drawAxes: [(plot) => drawGaps(plot, newest() ?? chart)],
      draw: [(plot) => drawMarks(plot, all.marks)],
      setCursor: [onCursor],
      setSelect: [onSelect],
    },
  };
}
