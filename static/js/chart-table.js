// The points of a chart as a table, the newest first.
import { moment, WORDS } from "./chart-words.js";

function cell(kind, text) {
  const found = document.createElement(kind);
  found.textContent = text;
  return found;
}
export function tableOf(chart, zone) {
  const word = WORDS[chart.unit];
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const text of ["Time", ...chart.lines.map((line) => line.label)]) {
    head.append(cell("th", text));
    head.lastChild.scope = "col";
  }
  const body = table.createTBody();
  for (let at = chart.lines[0].values.length - 1; at >= 0; at -= 1) {
    const row = body.insertRow();
    row.append(cell("th", moment(chart.begin + at * chart.step, zone)));
    row.firstChild.scope = "row";
    for (const line of chart.lines) {
      const value = line.values[at];
      const box = cell("td", value === null ? "no data" : word(value));
      box.dataset.label = line.label;
      row.append(box);
    }
  }
  return table;
}
