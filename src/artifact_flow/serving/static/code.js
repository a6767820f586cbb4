// Code: the shown request as a command for curl and as Python, to copy.

import { make } from "./elements.js";

/** Return the request as commands: each with a button that copies it. `locked`: the service asks for a key. */
export function showCode(url, { type, body }, locked) {
  const text = typeof body === "string" ? body : null;
  return [part("curl", curl(url, type, text, locked)), part("Python", python(url, type, text, locked))];
}

function part(title, code) {
  const button = make("button", { type: "button" }, `Copy as ${title}`);
  const shown = make("pre", { tabindex: 0 }, code);
  button.onclick = async () => {
    const copied = await navigator.clipboard?.writeText(code).then(() => true, () => false);
    if (!copied) getSelection().selectAllChildren(shown); // without clipboard access, select it to copy by hand
    button.textContent = copied ? "Copied" : "Selected: copy it";
    setTimeout(() => (button.textContent = `Copy as ${title}`), 1500);
  };
  return make("div", { class: "part" }, button, shown);
}

function curl(url, type, text, locked) {
  const key = locked ? ` \\\n  -H "X-API-Key: $ARTIFACT_FLOW_API_KEY"` : "";
  const what = text === null ? "--data-binary @picture.png" : `-d ${shell(text)}`;
  return `curl -s ${shell(url)} \\\n  -H 'Content-Type: ${type}'${key} \\\n  ${what}`;
}

function python(url, type, text, locked) {
  const key = locked ? `, "X-API-Key": os.environ["ARTIFACT_FLOW_API_KEY"]` : "";
  const body = text === null ? `pathlib.Path("picture.png").read_bytes()` : `${JSON.stringify(text)}.encode()`;
  const modules = ["json", locked ? "os" : "", text === null ? "pathlib" : "", "urllib.request"].filter(Boolean);
  return [
    ...modules.map((name) => `import ${name}`),
    "",
    `headers = {"Content-Type": ${JSON.stringify(type)}${key}}`,
    `request = urllib.request.Request(${JSON.stringify(url)}, ${body}, headers)`,
    "print(json.load(urllib.request.urlopen(request)))",
  ].join("\n");
}

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;
