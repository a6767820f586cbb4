// Drift: compare the predicted rows with the training rows, with a chart for the most drifted columns.

import { count, draw, inUnit, make, percent, short } from "./elements.js";
import { trend } from "./trend.js";

const CHARTS = 12; // the most drifted columns, which get a chart each
const [WIDTH, HEIGHT] = [240, 72];
const MEANING = {
  alert: "at least one column has changed",
  warn: "at least one column may have changed",
  ok: "no column has changed beyond chance",
};

/** Return the parts of the drift section; `legend` has the units and descriptions of columns. */
export function showDrift(report, legend) {
  const { status, rows, min_rows, columns, columns_in_all } = report;
  const few = `a verdict needs ${count(min_rows, "row")}: with fewer rows, chance alone can look like drift`;
  const head = make("p", {}, badge(status), ` ${count(rows, "row")} in the window; ${MEANING[status] ?? few}.`);
  const shown = columns.slice(0, CHARTS);
  const rest = columns_in_all - shown.length;
  return [
    head,
    ...largest(report),
    make("p", { class: "legend quiet" }, swatch("reference"), "training", swatch("current"), rows ? "predicted" : "predicted: no rows yet"),
    make("div", { class: "charts" }, shown.map((column) => chart(column, report, legend[column.name]))),
    rest > 0 ? make("p", { class: "quiet" }, `and ${count(rest, "column")} with less drift`) : "",
  ].filter(Boolean);
}

const badge = (status) => make("span", { class: "badge", "data-status": status }, status);

const swatch = (kind) => make("span", { class: `swatch ${kind}` });

/** Return the chart of a stability index in the past, at the times of the history, and now; nothing of one time alone. */
function overTime(name, { history, warn, alert }, past, now) {
  if (history.length < 2) return [];
  const times = [...history.map(({ time }) => Date.parse(time)), Date.now()];
  return trend(name, times, [...past, now], { warn, alert });
}

/** Return the largest stability index of all columns over time. */
function largest(report) {
  const { history, columns, rows, min_rows, warn, alert } = report;
  const now = Math.max(...columns.map(({ psi }) => psi));
  const line = rows < min_rows ? [] : overTime("All columns", report, history.map(({ psi }) => psi), now);
  const levels = `from ${warn} a column deserves attention, from ${alert} it has changed (dashed; square-root scale)`;
  const caption = make("figcaption", {}, make("strong", {}, "Largest PSI over time"), make("span", { class: "quiet" }, levels));
  return line.length ? [make("figure", { class: "whole" }, caption, line)] : [];
}

function chart(column, report, legend) {
  const bins = readBins(column);
  const drifts = column.status === "alert" || column.status === "warn";
  const line = drifts ? overTime(column.name, report, column.history, column.psi) : [];
  return make(
    "figure",
    {},
    make("figcaption", {}, make("strong", { title: legend?.description ?? column.name }, column.name, inUnit(legend)), column.status in MEANING ? badge(column.status) : ""),
    bars(column.name, bins),
    make("p", { class: "axis quiet" }, ends(bins).map((end) => make("span", {}, end))),
    report.rows ? make("p", { class: "measures" }, measures(column)) : "",
    line,
  );
}

function measures({ psi, p_value, missing, missing_reference, unseen }) {
  const gaps = missing || missing_reference;
  const words = [`PSI ${short(psi, 3)}`, `p ${short(p_value, 2)}`];
  words.push(gaps ? `missing ${percent(missing)} (training ${percent(missing_reference)})` : "none missing");
  if (unseen) words.push(`${percent(unseen)} outside training`);
  return words.join(" · ");
}

/** Return the labels of an axis's ends: the outermost edges of numbers, the names of categories. */
function ends(bins) {
  const own = bins.filter((bin) => bin.own);
  if (own.length < 2) return own.map((bin) => bin.name);
  return [own[0].edges[0], own.at(-1).edges.at(-1)];
}

/** Return name, training share and current share of each bin, without special bins that are empty in both. */
function readBins({ bins, reference, current }) {
  const read = (text, place) => {
    const edges = text.match(/^(-?[\d.]\S*) to (-?[\d.]\S*)$/)?.slice(1) ?? [text];
    const own = !["missing", "other", "unseen"].includes(text);
    return { name: edges.join(" to "), edges, own, reference: reference[place], current: current[place] };
  };
  return bins.map(read).filter((bin) => bin.own || bin.reference > 0 || bin.current > 0);
}

function bars(name, bins) {
  const most = Math.max(0.01, ...bins.flatMap((bin) => [bin.reference, bin.current]));
  const step = WIDTH / Math.max(bins.length, 1);
  const rect = (kind, x, share) =>
    draw("rect", { class: kind, x, y: HEIGHT - (HEIGHT * share) / most, width: step * 0.4, height: (HEIGHT * share) / most });
  const pair = (bin, place) =>
    draw(
      "g",
      {},
      draw("title", {}, `${bin.name}: ${percent(bin.reference)} in training, ${percent(bin.current)} predicted`),
      draw("rect", { class: "reach", x: place * step, y: 0, width: step, height: HEIGHT }),
      rect("reference", place * step + step * 0.08, bin.reference),
      rect("current", place * step + step * 0.52, bin.current),
    );
  const base = draw("line", { class: "base", x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT });
  const label = `${name}: share of rows in ${count(bins.length, "bin")}, in training and predicted`;
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT + 1}`, role: "img", "aria-label": label }, bins.map(pair), base);
}
