// History: the last answers of this page, newest first; they are forgotten with the tab's page.

import { make, percent, short } from "./elements.js";

const KEPT = 12;
const entries = [];

/** Remember an answer of a model and what was asked: the text of a row, or the picture's own small image. */
export function remember(name, answers, asked) {
  entries.unshift({ name, asked, when: new Date(), words: answers.map(({ said }) => words(said)).join(" / ") });
  entries.splice(KEPT);
}

/** Return the remembered answers as a list, or nothing when there are none. */
export function showHistory() {
  return entries.map(({ name, asked, when, words: answer }) =>
    make("li", {}, make("time", { class: "quiet" }, when.toLocaleTimeString("en-GB")), make("strong", {}, answer), make("span", { class: "quiet asked" }, `${name}: ${asked}`)),
  );
}

function words({ value, class_name, confidence }) {
  if (class_name === undefined) return short(value, 5);
  return confidence === undefined ? class_name : `${class_name} ${percent(confidence)}`;
}
