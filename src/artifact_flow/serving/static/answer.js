// Answer: show one prediction, or two side by side and whether they agree.

import { count, find, inUnit, make, percent, short, setText } from "./elements.js";

const CLASS_BARS = 10; // the most probable classes, which get a bar each
const NAMES = { float: "float", "8bit": "8-bit" };

/** Show answers; each has its weights, the service's response and the milliseconds until it arrived. `outside` are
 * the values that training never saw, in words. */
export function showAnswers(card, answers, outside = []) {
  setText(find("refusal"));
  showCaution(outside.length ? `Outside the training range: ${listed(outside)}. The model has not seen such values: its answer may be wrong.` : "");
  find("why").replaceChildren();
  const named = answers.length > 1;
  const agreement = named ? [make("p", { class: "agreement" }, compare(answers.map(({ said }) => said)))] : [];
  find("answers").replaceChildren(
    make("div", { class: "answers" }, answers.map((answer) => one(card, answer, named))),
    ...agreement,
  );
  find("said").textContent = [...answers.map((answer) => sentence(card, answer, named)), ...agreement.map((p) => p.textContent)].join(". ");
  markOld(false);
  find("answer").scrollIntoView({ block: "nearest" });
}

/** Show how far an answer can be trusted, or nothing. */
export const showCaution = (sentence) => setText(find("caution"), sentence);

const listed = (words) => (words.length > 4 ? `${words.slice(0, 4).join(", ")} and ${words.length - 4} more` : words.join(", "));

/** Show the parts of something other than one prediction. */
export function showParts(parts) {
  showRefusal("");
  find("answers").replaceChildren(...parts);
}

/** Show a sentence about why there is no answer. */
export function showRefusal(text) {
  setText(find("refusal"), text);
  showCaution("");
  find("why").replaceChildren();
  find("said").textContent = "";
  find("answers").replaceChildren();
  markOld(false);
}

/** Show that nothing has been predicted. */
export function showNothing() {
  showRefusal("");
  find("answers").replaceChildren(make("p", { class: "quiet" }, "Nothing predicted yet."));
}

/** Mark the shown answer as belonging to an earlier input, or not. */
export const markOld = (old) => find("answers").classList.toggle("old", old);

function sentence(card, { weights, said }, named) {
  const sure = said.confidence === undefined ? "" : `, ${percent(said.confidence)}`;
  const words = "value" in said ? [short(said.value, 5), legendOf(card).unit].filter(Boolean).join(" ") : said.class_name + sure;
  return named ? `${NAMES[weights]}: ${words}` : words;
}

function one(card, { weights, said, milliseconds }, named) {
  return make(
    "div",
    { class: "one", "data-weights": weights },
    named ? make("h3", {}, NAMES[weights]) : "",
    ..."value" in said ? number(card, said, weights) : classes(card, said),
    make("p", { class: "quiet latency" }, `${milliseconds.toFixed(1)} ms, measured in this page${named ? "" : `; ${NAMES[weights]} weights`}`),
  );
}

function number(card, { value }, weights) {
  const mae = weights === "float" ? card.metrics?.test?.mae : undefined; // the metrics are those of the float model
  return [
    make("p", { class: "result" }, short(value, 5), legendOf(card).unit ? make("span", { class: "sure" }, legendOf(card).unit) : ""),
    ...target(card),
    mae === undefined ? "" : make("p", { class: "quiet" }, `Mean absolute error on the test rows: ${short(mae, 3)}${legendOf(card).unit ? ` ${legendOf(card).unit}` : ""}.`),
  ];
}

const legendOf = (card) => card.columns[card.contract.target.name] ?? {};

/** Return what was predicted in words. */
function target(card) {
  const { description } = legendOf(card);
  return [make("p", {}, `predicted ${card.contract.target.name}`), description ? make("p", { class: "quiet" }, description) : ""];
}

function classes(card, { class_name, confidence, probabilities }) {
  const sure = confidence === undefined ? "" : make("span", { class: "sure" }, percent(confidence));
  return [
    make("p", { class: "result" }, class_name, sure),
    ...(legendOf(card).description ? target(card) : []),
    probabilities ? bars(probabilities, class_name) : "",
  ];
}

function bars(probabilities, named) {
  const all = Object.entries(probabilities);
  const likely = all.filter(([, share]) => share > 0).sort((one, other) => other[1] - one[1]);
  const shown = all.length > CLASS_BARS ? likely.slice(0, CLASS_BARS) : all;
  const rest = all.length - shown.length;
  const list = make("ol", { class: "bars" }, shown.map(([name, share]) => bar(name, share, name === named)));
  return make("div", {}, list, rest > 0 ? make("p", { class: "quiet rest" }, `${count(rest, "class", "classes")} with a lower probability`) : "");
}

function bar(name, share, first) {
  const length = make("span", { class: "length" });
  length.style.width = `${100 * share}%`;
  const track = make("span", { class: "track", "aria-hidden": "true" }, length);
  const label = make("span", { class: "name", title: name }, name);
  return make("li", { class: first && "first" }, label, track, make("span", { class: "share" }, percent(share)));
}

function compare([one, other]) {
  if ("value" in one) {
    const apart = Math.abs(one.value - other.value);
    return apart === 0 ? "Both give the same value." : `The two values are ${short(apart, 3)} apart.`;
  }
  if (one.class_name !== other.class_name) return "They disagree.";
  if (!one.probabilities) return "They agree.";
  const differences = Object.entries(one.probabilities).map(([name, share]) => Math.abs(share - other.probabilities[name]));
  const apart = Math.max(...differences);
  return `They agree; their probabilities differ by ${percent(apart)} at most.`;
}
