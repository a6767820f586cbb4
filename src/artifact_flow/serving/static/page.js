// Page: one model of the service: its input, its predictions, its card and its drift. The URL's hash names the model.

import { markOld, showAnswers, showCaution, showNothing, showParts, showRefusal } from "./answer.js";
import { isCsv, predictFile } from "./batch.js";
import { showCard, summarize } from "./card.js";
import { showCode } from "./code.js";
import { showDrift } from "./drift.js";
import { find, make, setText } from "./elements.js";
import { remember, showHistory } from "./history.js";
import { pictureInput } from "./picture.js";
import { ask, attempt, isLocked } from "./service.js";
import { tableInput } from "./table.js";
import { showWhy } from "./why.js";

const UNLIKE = "This picture is unlike the training pictures: the answer may be wrong.";

let names = []; // of the served models
let shown = null; // the model on the page: its card, its path, its input
let asked = 0; // predictions requested: only the last answer is shown

async function start() {
  names = await ask("/models");
  find("models").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  find("switch").hidden = names.length < 2;
  await openModel();
}

function chosenName() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return names.includes(name) ? name : names[0];
  } catch {
    return names[0]; // the hash is not valid text
  }
}

async function openModel() {
  const name = chosenName();
  find("models").value = name;
  if (shown?.card.name === name) return;
  const address = `/models/${encodeURIComponent(name)}`;
  const card = await ask(`${address}/model`);
  if (chosenName() !== name) return; // another model was chosen meanwhile
  asked += 1;
  const input = (card.image ? pictureInput : tableInput)(card, () => markOld(true));
  shown = { card, address, input };
  document.title = `${name} · artifact-flow`;
  find("name").textContent = name;
  find("summary").textContent = summarize(card);
  find("fields").replaceChildren(input.element);
  find("example").hidden = !input.example;
  find("file-rows").hidden = Boolean(card.image);
  find("code").hidden = true;
  showWeights(card.weights);
  find("card").replaceChildren(...showCard(card, address));
  find("model").hidden = false;
  setText(find("failure"));
  showNothing();
  await refreshDrift();
}

function showWeights(weights) {
  find("weights").hidden = !weights.includes("8bit");
  if (!weights.includes("8bit")) find("weights").querySelector("[value=float]").checked = true;
}

function chosenWeights() {
  const chosen = find("weights").querySelector(":checked").value;
  return chosen === "both" ? ["float", "8bit"] : [chosen];
}

async function predict() {
  const { card, address, input } = shown;
  const number = (asked += 1);
  await attempt(
    async () => {
      const request = await input.request();
      const { path, body, type, outside } = request;
      const answers = [];
      for (const weights of chosenWeights()) {
        const began = performance.now();
        const said = await ask(`${address}/${path}?weights=${weights}`, { method: "POST", body, type });
        answers.push({ weights, said, milliseconds: performance.now() - began });
      }
      if (number !== asked) return;
      showAnswers(card, answers, outside);
      input.blame?.("");
      remember(card.name, answers, typeof body === "string" ? Object.values(JSON.parse(body)).slice(0, 20).join(", ") : "a picture");
      find("remembered").replaceChildren(...showHistory());
      find("history").hidden = false;
      find("commands").replaceChildren(...showCode(`${location.origin}${address}/${path}`, request, isLocked()));
      find("code").hidden = false;
      await explain(number, request);
    },
    (sentence) => {
      if (number !== asked) return;
      showRefusal(sentence);
      input.blame?.(sentence);
    },
  );
}

/** Show what the model saw and what decided; the answer stands already. */
async function explain(number, { path, body, type }) {
  const { card, address, input } = shown;
  const said = await ask(`${address}/${path.replace("predict", "explain")}`, { method: "POST", body, type });
  if (number !== asked) return;
  if (said.pixels) input.see(said.pixels);
  if (said.unlike_training) showCaution(UNLIKE);
  find("why").replaceChildren(...showWhy(card, said));
}

/** Predict every row of a CSV file. */
async function predictRows(file) {
  const number = (asked += 1);
  const { address } = shown;
  const show = (parts) => number === asked && showParts(parts);
  await attempt(
    async () => show(await predictFile(address, file, chosenWeights()[0])),
    (sentence) => number === asked && showRefusal(sentence),
  );
}

async function refreshDrift() {
  const { address, card } = shown;
  const place = find("drift");
  const put = (...parts) => address === shown.address && place.replaceChildren(...parts);
  await attempt(
    async () => put(...showDrift(await ask(`${address}/drift`), card.columns)),
    (sentence) => put(make("p", { class: "refusal", role: "alert" }, sentence)),
  );
}

/** Pass a dropped or pasted file to the model: an image, or the rows of a table. */
function offer(event, transfer) {
  const file = transfer?.files[0];
  if (!file || !shown) return;
  event.preventDefault();
  if (shown.input.take) shown.input.take(file);
  else if (isCsv(file)) predictRows(file);
  else showRefusal(`${file.name} is not a CSV file: drop one with a header of column names.`);
}

function listen() {
  const failed = (sentence) => setText(find("failure"), sentence);
  const reopen = () => attempt(openModel, failed);
  window.addEventListener("hashchange", reopen);
  find("models").onchange = (event) => (location.hash = encodeURIComponent(event.target.value));
  find("input").onsubmit = (event) => {
    event.preventDefault();
    predict();
  };
  find("example").onclick = () => {
    shown.input.example();
    markOld(true);
  };
  find("clear").onclick = () => {
    asked += 1;
    shown.input.clear();
    showNothing();
  };
  find("refresh").onclick = refreshDrift;
  find("rows").onchange = ({ target }) => {
    if (target.files.length) predictRows(target.files[0]);
    target.value = ""; // the same file, once mended, can be chosen again
  };
  document.addEventListener("dragover", (event) => shown && event.preventDefault());
  document.addEventListener("drop", (event) => offer(event, event.dataTransfer));
  document.addEventListener("paste", (event) => offer(event, event.clipboardData));
  attempt(start, failed);
}

listen();
