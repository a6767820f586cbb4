// Table: a form with one field for each column, and plausible example rows.

import { count, DAY, inUnit, isoDate, make, percent, short } from "./elements.js";
import { Refusal } from "./service.js";

const LISTED = 30; // categories, up to which a field is a select; with more, a text field suggests them
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i; // 5.1, -3, .5, 1e-4; not 5,1, 0x10 or Infinity
const OUTER_WIDTH = 2; // in widths of the next bin: the part of an outermost bin that examples come from

/** Return the input for a table's model: its element, its request, and functions that fill and clear it. */
export function tableInput(card, changed) {
  const fields = card.contract.features.map((feature) => field(feature, card.optional.includes(feature.name), card.columns[feature.name]));
  const element = make("div", { class: "fields" }, fields.map(({ box }) => box));
  element.addEventListener("input", changed);
  return {
    element,
    request: () => ({ path: "predict", type: "application/json", body: JSON.stringify(readRow(fields)), outside: outside(fields) }),
    example: () => fields.forEach(({ feature, write }) => write(drawValue(feature))),
    clear: () => fields.forEach(({ write }) => write(null)),
    blame: (sentence) => blame(fields, sentence),
  };
}

function field(feature, optional, legend) {
  const id = `column-${feature.name}`;
  const hint = make("small", { id: `${id}-hint` });
  const about = legend?.description ? make("small", { id: `${id}-about` }, legend.description) : "";
  const described = [about.id, hint.id].filter(Boolean).join(" ");
  const control = makeControl(feature, { id, name: feature.name, title: legend?.description, "aria-describedby": described });
  const left = optional ? make("span", { class: "quiet" }, " optional") : "";
  const options = feature.type === "category" && control.list === null ? suggestions(feature, control) : "";
  const box = make("div", { class: "field" }, make("label", { for: id }, feature.name, inUnit(legend), left), about, control, options, hint);
  const check = () => showHint(feature, control, hint);
  control.addEventListener("input", check);
  check();
  const write = (value) => {
    control.value = value ?? "";
    check();
  };
  return { feature, optional, control, hint, box, check, write };
}

function makeControl(feature, attributes) {
  const choose = (values) => make("select", attributes, ["", ...values].map((value) => make("option", { value }, value || "–")));
  if (feature.type === "boolean") return choose(["true", "false"]);
  if (feature.type === "date") return make("input", { ...attributes, type: "date" });
  if (feature.type === "number") {
    // a field of type "number" would tell neither what was typed nor what is wrong with it
    return make("input", { ...attributes, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: false });
  }
  if (feature.type === "text") return make("textarea", { ...attributes, rows: 3 });
  const categories = (feature.categories ?? []).filter((value) => value !== "");
  if (categories.length > 0 && categories.length <= LISTED) return choose(categories);
  return make("input", { ...attributes, autocomplete: "off" });
}

function suggestions(feature, control) {
  if (control.tagName !== "INPUT") return "";
  const id = `${control.id}-list`;
  control.setAttribute("list", id);
  return make("datalist", { id }, (feature.categories ?? []).map((value) => make("option", { value })));
}

function showHint(feature, control, hint) {
  control.removeAttribute("aria-invalid");
  const wrong = fault(feature, control.value);
  if (wrong) {
    control.setAttribute("aria-invalid", "true");
    hint.classList.remove("odd");
    return void (hint.textContent = wrong);
  }
  const odd = isOutside(feature, control.value);
  hint.classList.toggle("odd", odd);
  hint.textContent = `${odd ? "outside" : "in"} training${known(feature)}`;
}

function known(feature) {
  if (feature.type === "boolean") return `: ${percent(feature.mean ?? 0)} true`;
  const shown = feature.type === "date" ? isoDate : (value) => short(value, 6);
  if (feature.type === "category") return `: ${count(feature.categories?.length ?? 0, "value")}`;
  if (feature.min === undefined) return ": no values";
  if (feature.type === "text") return `: ${shown(feature.min)} to ${count(feature.max, "character")}`;
  return feature.min === feature.max
    ? `: always ${shown(feature.min)}`
    : `: ${shown(feature.min)} to ${shown(feature.max)}`;
}

function isOutside(feature, text) {
  if (text.trim() === "" || feature.type === "boolean" || feature.min === undefined && feature.type !== "category") return false;
  if (feature.type === "category") return !(feature.categories ?? []).includes(text.trim());
  const value = measure(feature, text);
  const slack = feature.type === "date" ? 1 : 1e-6 * Math.max(Math.abs(feature.min), Math.abs(feature.max));
  return value < feature.min - slack || value > feature.max + slack;
}

/** Return a text as the number that its column's range is of. */
function measure(feature, text) {
  if (feature.type === "date") return Date.parse(text) / DAY;
  return feature.type === "text" ? [...text.trim()].length : Number(text);
}

/** Return why a typed text is not a number, or "". */
function fault({ name, type }, text) {
  const typed = text.trim();
  if (type !== "number" || !typed || (NUMBER.test(typed) && Number.isFinite(Number(typed)))) return "";
  const shown = JSON.stringify(typed.slice(0, 40));
  if (NUMBER.test(typed)) return `${name} is ${shown}, which is too large: type a smaller number.`;
  if (/^[+-]?\d+,\d+$/.test(typed)) return `${name} is ${shown}: type a point before the decimals, ${typed.replace(",", ".")}.`;
  return `${name} is ${shown}: type a number in digits, such as 5.1.`;
}

/** Return the fields whose value lies outside the training range, each in words. */
function outside(fields) {
  const odd = fields.filter(({ feature, control }) => isOutside(feature, control.value));
  return odd.map(({ feature, control }) => `${feature.name} ${control.value.trim()} (training${known(feature)})`);
}

function readRow(fields) {
  const row = {};
  for (const { feature, control, optional } of fields) {
    const wrong = fault(feature, control.value);
    if (wrong) throw new Refusal(wrong);
    if (control.validity.badInput) {
      throw new Refusal(`${feature.name} is not a ${feature.type}: fix it${optional ? " or leave it empty" : ""}.`);
    }
    if (control.value.trim() !== "") row[feature.name] = typed(feature, control.value);
  }
  return row;
}

function typed(feature, text) {
  if (feature.type === "number") return Number(text);
  return feature.type === "boolean" ? text === "true" : text;
}

/** Mark and focus the field that a sentence begins with; the mark disappears when the field changes. */
function blame(fields, sentence) {
  for (const { check } of fields) check();
  if (!sentence) return;
  const guilty = fields.find(({ feature }) => sentence.startsWith(`${feature.name} `));
  if (!guilty) return;
  guilty.control.setAttribute("aria-invalid", "true");
  guilty.hint.textContent = sentence;
  guilty.control.focus();
}

/** Return a random value from the contract's reference distribution, null for a missing value. */
function drawValue(feature) {
  if (Math.random() < feature.missing) return null;
  if (feature.type === "text") return "text"; // the contract has no example
  if (feature.type === "category") return feature.categories?.[pick(feature.shares)] ?? null;
  if (feature.type === "boolean") return String(Math.random() < (feature.mean ?? 0.5));
  const edges = feature.edges ?? [];
  if (edges.length < 2) return edges.length ? shownAs(feature, edges[0]) : null;
  return shownAs(feature, drawNumber(edges, feature.shares));
}

const shownAs = (feature, value) => (feature.type === "date" ? isoDate(value) : String(value));

function drawNumber(edges, shares) {
  const bin = pick(shares);
  const [low, high] = middling(edges, bin);
  if (edges.every(Number.isInteger)) {
    const least = bin > 0 && low < high ? low + 1 : low; // a bin includes its upper edge, the first bin both
    return least + Math.floor(Math.random() * (high - least + 1));
  }
  const decimals = Math.min(Math.max(1 - Math.floor(Math.log10(high - low)), 0), 10);
  const value = Number((low + Math.random() * (high - low)).toFixed(decimals));
  return Math.min(Math.max(value, edges[0]), edges.at(-1));
}

function middling(edges, bin) {
  const [low, high] = [edges[bin], edges[bin + 1]];
  const last = edges.length - 2;
  if (last > 0 && bin === last) return [low, Math.min(high, low + OUTER_WIDTH * (low - edges[bin - 1]))];
  if (last > 0 && bin === 0) return [Math.max(low, high - OUTER_WIDTH * (edges[2] - high)), high];
  return [low, high];
}

function pick(shares) {
  let rest = Math.random() * shares.reduce((sum, share) => sum + share, 0);
  const place = shares.findIndex((share) => (rest -= share) < 0);
  return place < 0 ? shares.length - 1 : place;
}
