// Why: what each column did to an answer, as bars, or as a picture for a model of pixels.

import { make, short } from "./elements.js";

const BARS = 8; // columns that did most

/** Return the parts of an explanation: bars of a row's columns, or a picture of the pixels that spoke for the answer. */
export function showWhy(card, { contributions }) {
  if (!contributions) return [];
  const title = make("h3", {}, "Why");
  if (card.image) {
    const values = Object.values(contributions);
    const most = Math.max(...values.map(Math.abs), 1e-9);
    const note = "Blue pixels spoke for the answer, orange ones against it, compared with their values in training.";
    return [title, paint(card.image, values.map((value) => shade(value / most)), "pixels for and against the answer"), make("p", { class: "quiet" }, note)];
  }
  const sorted = Object.entries(contributions).sort((one, other) => Math.abs(other[1]) - Math.abs(one[1]));
  const shown = sorted.slice(0, BARS).filter(([, value]) => value !== 0);
  if (!shown.length) return [];
  const most = Math.abs(shown[0][1]);
  const { name: target, classes } = card.contract.target;
  const unit = card.columns[target]?.unit;
  const added = classes.length ? "score of the class (log-odds)" : [target, unit && `in ${unit}`].filter(Boolean).join(" ");
  const rest = sorted.length - shown.length;
  const note = `Added to the ${added}, compared with this column's values in training${rest > 0 ? `; ${rest} more added less` : ""}.`;
  return [title, make("ol", { class: "effects" }, shown.map(([name, value]) => bar(name, value, most))), make("p", { class: "quiet" }, note)];
}

/** Return what the model saw of a picture. */
export function showSeen(grid, pixels) {
  const dark = grid.ink ? (share) => 1 - share : (share) => share;
  const greys = pixels.map((value) => {
    const grey = Math.round(255 * dark(value / grid.white));
    return [grey, grey, grey];
  });
  const title = `what the model sees: ${grid.width} × ${grid.height} pixels`;
  return make("figure", { class: "seen" }, paint(grid, greys, title), make("figcaption", { class: "quiet" }, title));
}

function bar(name, value, most) {
  const length = make("span", { class: `length ${value < 0 ? "against" : "for"}` });
  length.style.width = `${(100 * Math.abs(value)) / most}%`;
  const track = make("span", { class: "track", "aria-hidden": "true" }, length);
  const label = make("span", { class: "name", title: name }, name);
  return make("li", {}, label, track, make("span", { class: "share" }, `${value < 0 ? "−" : "+"}${short(Math.abs(value), 3)}`));
}

/** Return a colour from orange over white to blue for -1 to 1. */
function shade(share) {
  const [red, green, blue] = share < 0 ? [214, 108, 0] : [37, 99, 201];
  return [red, green, blue].map((part) => Math.round(255 + (part - 255) * Math.min(1, Math.abs(share))));
}

function paint(grid, colours, label) {
  const canvas = make("canvas", { class: "pixels", width: grid.width, height: grid.height, role: "img", "aria-label": label });
  const image = new ImageData(grid.width, grid.height);
  colours.forEach((colour, place) => image.data.set([...colour, 255], 4 * place));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
