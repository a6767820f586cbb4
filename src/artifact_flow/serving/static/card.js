// Card: what the model is, how good, and from which bytes it came.

import { count, make, short } from "./elements.js";

/** Return the model in one line. */
export function summarize({ contract, image }) {
  const { target, features, rows } = contract;
  const input = image ? `pictures of ${image.width} × ${image.height} pixels` : count(features.length, "column");
  const output = target.task === "regression" ? `a number, ${target.name}` : `one of ${count(target.classes.length, "class", "classes")}`;
  return `${estimator(contract)}: ${input} → ${output}. Trained on ${count(rows.train, "row")}.`;
}

/** Return the card's parts. */
export function showCard(card) {
  const { contract, metrics } = card;
  const measured = metrics ? scores(metrics) : make("p", { class: "quiet" }, "No metrics belong to this model.");
  return [
    part("Training", facts(describeTraining(contract))),
    make("div", {}, part("Metrics", measured), part("Libraries", facts(Object.entries(contract.libraries)))),
    part("Origin", facts(describeOrigin(card))),
  ];
}

const estimator = (contract) => contract.params.train.estimator.split(".").at(-1);

const part = (title, ...children) => make("div", { class: "part" }, make("h3", {}, title), ...children);

function describeTraining({ params, rows, target }) {
  const { estimator: name, ...rest } = params.train;
  const set = Object.entries({ ...params.data, ...rest })
    .filter(([, value]) => Array.isArray(value) || typeof value !== "object") // a table's columns are the form's
    .map(([key, value]) => [key, String(value)]);
  const answer = target.classes.length ? `${target.name}: ${listed(target.classes)}` : `${target.name}, a number`;
  return [
    ["estimator", make("span", { title: name }, name.split(".").at(-1))],
    ["target", answer],
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

/** Return a hash, shortened; a click copies the whole of it. */
function hash(value) {
  if (!/^[0-9a-f]{40,}$/.test(value)) return value;
  const brief = value.slice(0, 12);
  const button = make("button", { type: "button", class: "hash", title: `${value}: copy`, "aria-label": `copy ${value}` }, brief);
  button.onclick = async () => {
    const copied = await navigator.clipboard?.writeText(value).then(() => true, () => false);
    button.textContent = copied ? "copied" : value; // without a clipboard, all of it to select
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
