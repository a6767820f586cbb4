// Batch: predict the rows of a CSV file, show the first ones and offer all of them as a file.

import { count, make, percent, short } from "./elements.js";
import { ask } from "./service.js";

const SHOWN = 20; // rows in the page; the file has all

/** Return whether a file looks like CSV. */
export const isCsv = (file) => /\.csv$/i.test(file.name) || file.type === "text/csv";

/** Predict a CSV file; return the parts to show: a link to the file with predictions, and its first rows. */
export async function predictFile(address, file, weights) {
  const text = await file.text();
  const { predictions } = await ask(`${address}/predict/batch?weights=${weights}`, { method: "POST", body: text, type: "text/csv" });
  const [header, ...records] = splitRecords(text);
  const names = "value" in predictions[0] ? ["prediction"] : ["prediction", "probability"];
  const said = predictions.map(({ value, class_name, confidence }) => (class_name === undefined ? [value] : [class_name, confidence ?? ""]));
  const lines = [[header, names.join(",")], ...records.map((record, row) => [record, said[row].map(quote).join(",")])];
  const content = new Blob([lines.map((line) => `${line.join(",")}\n`).join("")], { type: "text/csv" });
  const name = file.name.replace(/(\.csv)?$/i, "_predictions.csv");
  const link = make("a", { href: URL.createObjectURL(content), download: name }, `Download ${name}`);
  const shown = said.slice(0, SHOWN).map((cells, row) => [row + 1, ...cells.map(brief)]);
  const rest = said.length - shown.length;
  return [
    make("p", {}, `${count(said.length, "row")} of ${file.name} predicted. `, link),
    table(["row", ...names], shown),
    rest > 0 ? make("p", { class: "quiet" }, `and ${count(rest, "row")} more in the file`) : "",
  ].filter(Boolean);
}

const brief = (value, place) => (typeof value !== "number" ? value : place ? percent(value) : short(value, 5));

function table(names, rows) {
  const head = make("thead", {}, make("tr", {}, names.map((name) => make("th", { scope: "col" }, name))));
  return make("table", {}, head, make("tbody", {}, rows.map((row) => make("tr", {}, row.map((cell) => make("td", {}, String(cell)))))));
}

/** Return the records of a CSV, as they stand in the file; a quoted value may hold line breaks. Blank lines are left out. */
function splitRecords(text) {
  const records = [""];
  for (const line of text.replace(/^\ufeff/, "").split(/\r\n|\n|\r/)) {
    const last = records.length - 1;
    const open = (records[last].match(/"/g)?.length ?? 0) % 2 === 1;
    if (open) records[last] += `\n${line}`;
    else if (line) records.push(line);
  }
  return records.slice(1);
}

const quote = (value) => (/[",\n\r]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value));
