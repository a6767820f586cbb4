// Trend: a line of a column's stability index over time, with the levels from which it counts as drift.
// The square root of the index keeps the levels in sight below an index of ten times as much.

import { draw, make, short } from "./elements.js";

const [WIDTH, HEIGHT] = [240, 40];
const ROOM = 1.2; // above the highest level, at least

/** Return the chart of `values` at `times`, in milliseconds since 1970, and its axis. */
export function trend(name, times, values, { warn, alert }) {
  const [first, last] = [times[0], times.at(-1)];
  const most = Math.max(ROOM * alert, ...values);
  const x = (time) => (WIDTH * (time - first)) / (last - first);
  const y = (value) => HEIGHT * (1 - Math.sqrt(value / most));
  const level = (value, kind) => draw("line", { class: `level ${kind}`, x1: 0, y1: y(value), x2: WIDTH, y2: y(value) });
  const line = draw("polyline", { class: "trend", points: times.map((time, place) => `${x(time)},${y(values[place])}`).join(" ") });
  const middle = (one, other) => (x(times[one]) + x(times[other])) / 2;
  const reach = (time, place) => {
    const left = place > 0 ? middle(place - 1, place) : 0;
    const right = place < times.length - 1 ? middle(place, place + 1) : WIDTH;
    const title = draw("title", {}, `${moment(time)}: PSI ${short(values[place], 3)}`);
    return draw("rect", { class: "reach", x: left, y: 0, width: right - left, height: HEIGHT }, title);
  };
  const label = `${name}: population stability index from ${moment(first)} until now, highest ${short(Math.max(...values), 3)}`;
  const base = draw("line", { class: "base", x1: 0, y1: HEIGHT, x2: WIDTH, y2: HEIGHT });
  const attributes = { class: "over-time", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label };
  return [
    draw("svg", attributes, base, level(warn, "warn"), level(alert, "alert"), line, times.map(reach)),
    make("p", { class: "axis quiet" }, [moment(first), "now"].map((end) => make("span", {}, end))),
  ];
}

/** Return a moment as its time, and its day unless that is today. */
function moment(time) {
  const when = new Date(time);
  const day = when.toDateString() === new Date().toDateString() ? {} : { day: "numeric", month: "short" };
  return when.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit" });
}
