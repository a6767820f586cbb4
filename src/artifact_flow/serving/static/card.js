// Card: show the model card: training, metrics, libraries and the hashes of the files.

import { count, make, short } from "./elements.js";
import { showPaper } from "./papers.js";

/** Return a one-line summary of the model. */
export function summarize({ contract, image }) {
  const { target, features, rows } = contract;
  const input = image ? `images of ${image.width} × ${image.height} pixels` : count(features.length, "column");
  const output = target.task === "regression" ? `a number, ${target.name}` : `one of ${count(target.classes.length, "class", "classes")}`;
  return `${estimator(contract)}: ${input} → ${output}. Trained on ${count(rows.train, "row")}.`;
}

/** Return the parts of the card; `address` is the model's path. */
export function showCard(card, address) {
  const { contract, metrics, papers } = card;
  const measured = metrics ? scores(metrics) : make("p", { class: "quiet" }, "This model has no metrics.");
  return [
    part("Training", facts(describeTraining(contract, card.columns[contract.target.name]))),
    make("div", {}, part("Metrics", measured), part("Libraries", facts(Object.entries(contract.libraries)))),
    part("Origin", facts(describeOrigin(card))),
    ...(papers.length ? [make("div", { class: "papers" }, part("Papers", papers.map((name) => showPaper(address, name))))] : []),
  ];
}

const estimator = (contract) => contract.params.train.estimator.split(".").at(-1);

const part = (title, ...children) => make("div", { class: "part" }, make("h3", {}, title), ...children);

function describeTraining({ params, rows, target }, legend = {}) {
  const { estimator: name, ...rest } = params.train;
  const set = Object.entries({ ...params.data, ...rest })
    .filter(([, value]) => Array.isArray(value) || typeof value !== "object") // the form shows a table's columns
    .map(([key, value]) => [key, String(value)]);
  const answer = target.classes.length ? `${target.name}: ${listed(target.classes)}` : `${target.name}, a number${legend.unit ? ` in ${legend.unit}` : ""}`;
  return [
    ["estimator", make("span", { title: name }, name.split(".").at(-1))],
    ["target", legend.description ? `${answer}; ${legend.description}` : answer],
    ["rows", `${count(rows.train, "row")} to train, ${rows.test.toLocaleString("en")} to test`],
    ...set,
  ];
}

function listed(classes) {
  return classes.length > 12 ? `${classes.slice(0, 3).join(", ")} … ${classes.at(-1)}` : classes.join(", ");
}

function describeOrigin({ commit, sha256, contract }) {
  const names = { float: "model.onnx", "8bit": "model_quantized.onnx" };
  const files = Object.entries(sha256).map(([kind, hash]) => [names[kind] ?? kind, hash]);
  return [["commit", hash(commit)], ...[...files, ...Object.entries(contract.sha256)].map(([name, value]) => [name, hash(value)])];
}

/** Return a shortened hash; a click copies the full hash. */
function hash(value) {
  if (!/^[0-9a-f]{40,}$/.test(value)) return value;
  const brief = value.slice(0, 12);
  const button = make("button", { type: "button", class: "hash", title: `${value}: copy`, "aria-label": `copy ${value}` }, brief);
  button.onclick = async () => {
    const copied = await navigator.clipboard?.writeText(value).then(() => true, () => false);
    button.textContent = copied ? "copied" : value; // without clipboard access, show the full hash to select
    if (copied) setTimeout(() => (button.textContent = brief), 1200);
  };
  return button;
}

const facts = (pairs) => make("dl", {}, pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));

function scores({ train = {}, test = {} }) {
  const cells = (tag, values) => values.map((value) => make(tag, { scope: tag === "th" && "col" }, value));
  const shown = (value) => (value === undefined ? "–" : short(value));
  const row = (name) => make("tr", {}, make("th", { scope: "row" }, name), cells("td", [train[name], test[name]].map(shown)));
  const head = make("thead", {}, make("tr", {}, make("td", {}), cells("th", ["train", "test"])));
  return make("table", {}, head, make("tbody", {}, Object.keys({ ...train, ...test }).map(row)));
}
