// Elements: create the page's elements and format its numbers.

const SVG = "http://www.w3.org/2000/svg";

/** Return the element of the page with this id. */
export const find = (id) => document.getElementById(id);

/** Return an HTML element; attributes that are false or undefined are omitted. */
export const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** Return an SVG element. */
export const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== ""));
  return element;
}

/** Show a sentence in an element, or hide the element if the sentence is empty. */
export function setText(element, sentence = "") {
  element.textContent = sentence;
  element.hidden = !sentence;
}

/** Return a column's unit after its name, or "". */
export const inUnit = (legend) => (legend?.unit ? make("span", { class: "quiet unit" }, ` ${legend.unit}`) : "");

/** Return a number with at most `digits` significant digits. */
export function short(value, digits = 4) {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
}

/** Return a share as percent; a share near 0 or 1 is not rounded to 0 or 100. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "< 0.1 %";
  if (share < 1 && share >= 0.9995) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** Return a count with its noun. */
export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const DAY = 86_400_000; // milliseconds

/** Return the date `days` after 1970-01-01. */
export const isoDate = (days) => new Date(days * DAY).toISOString().slice(0, 10);
