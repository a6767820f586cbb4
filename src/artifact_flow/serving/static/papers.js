// Papers: the documents beside the model, each fetched when it is opened, to read and to download.

import { make } from "./elements.js";
import { askText, attempt } from "./service.js";

const ABOUT = { "MODEL_CARD.md": "model card", "model.cdx.json": "bill of materials", "croissant.json": "data set" };

/** Return a document as an element that opens; `address` is the model's path. */
export function showPaper(address, name) {
  const about = ABOUT[name] ? make("span", { class: "quiet" }, ABOUT[name]) : "";
  const place = make("div", {});
  const paper = make("details", {}, make("summary", {}, name, " ", about), place);
  paper.ontoggle = async () => {
    if (!paper.open || place.querySelector("pre")) return;
    await attempt(
      async () => place.replaceChildren(...show(name, await askText(`${address}/papers/${name}`))),
      (sentence) => place.replaceChildren(make("p", { class: "refusal", role: "alert" }, sentence)),
    );
  };
  return paper;
}

function show(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: name }, `Download ${name}`);
  return [make("p", {}, link), make("pre", { tabindex: 0 }, text)];
}
