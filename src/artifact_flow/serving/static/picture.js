// Picture: draw an image with mouse, finger, pen or keyboard, or choose an image file.

import { find, make } from "./elements.js";
import { Refusal } from "./service.js";
import { showSeen } from "./why.js";

const SIDE = 280; // pixels of the drawing field
const TAKEN = "image/png,image/jpeg,image/webp";
const PAUSE = 600; // milliseconds after a stroke, in which another one may begin
const UNDO = 20; // strokes that can be taken back
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Return the input for a model that takes images; a chosen, dropped or pasted image is predicted at once. */
export function pictureInput(card, changed) {
  const sketch = card.image.ink ? new Sketch(card.image, changed) : null;
  const preview = make("img", { class: "preview", alt: "the image to predict", hidden: true });
  const chooser = make("input", { type: "file", accept: TAKEN, id: "file" });
  const paper = make("div", { class: "paper", hidden: !sketch }, sketch?.parts ?? [], preview);
  const seen = make("div", {});
  let picture = null;

  const put = (file) => {
    URL.revokeObjectURL(preview.src);
    picture = file;
    seen.replaceChildren();
    preview.hidden = !file;
    preview.src = file ? URL.createObjectURL(file) : "";
    paper.hidden = !file && !sketch;
    sketch?.hide(Boolean(file));
  };
  const take = (file) => {
    put(file);
    changed();
    find("input").requestSubmit();
  };
  preview.onerror = () => (preview.hidden = true); // the service reports what is wrong with it
  chooser.onchange = () => chooser.files.length && take(chooser.files[0]);

  return {
    element: make(
      "div",
      { class: "picture" },
      make("div", { class: "sight" }, paper, seen),
      sketch ? [sketch.tools, sketch.help] : "",
      dropZone(chooser, sketch),
    ),
    see: (pixels) => seen.replaceChildren(showSeen(card.image, pixels)),
    request: async () => ({ path: "predict/image", type: "image/png", body: await given(picture, sketch) }),
    clear: () => {
      put(null);
      sketch?.clear();
      chooser.value = "";
    },
    take,
  };
}

function dropZone(chooser, sketch) {
  const how = sketch ? "Or choose an image" : "Choose an image";
  const label = make("label", { for: chooser.id }, how);
  return make("div", { class: "drop" }, label, chooser, make("small", {}, make("span", { class: "for-mouse" }, "or drop it here, or paste it: "), "PNG, JPEG or WebP"));
}

async function given(picture, sketch) {
  if (picture) return picture;
  if (sketch) return sketch.file();
  throw new Refusal("there is no image yet: choose one, drop it on this page or paste it.");
}

/** A drawing: ink on a transparent background, which tells the service which pixels are ink. */
class Sketch {
  constructor(grid, changed) {
    this.grid = grid;
    this.changed = changed;
    this.place = [0, 0];
    this.canvas = make("canvas", {
      width: SIDE,
      height: SIDE,
      tabindex: 0,
      role: "application",
      "aria-label": "Drawing field",
      "aria-describedby": "drawing-help",
    });
    this.cursor = make("div", { class: "cursor" });
    this.spoken = make("p", { class: "visually-hidden", role: "status" });
    this.parts = [this.canvas, this.cursor, this.spoken];
    const keys = `By keyboard: arrow keys move over ${grid.height} × ${grid.width} squares, space fills or clears one.`;
    this.help = make("small", { id: "drawing-help" }, "Draw one character. ", make("span", { class: "for-mouse" }, keys));
    this.strokes = []; // what the field showed before each of the last strokes
    this.undoing = make("button", { type: "button", disabled: true }, "Undo");
    this.undoing.onclick = () => this.undo();
    this.nib = make("input", { id: "pen", type: "range", min: 0.3, max: 1.5, step: 0.05, value: 0.75 });
    this.tools = make("div", { class: "buttons tools" }, this.undoing, make("label", { for: "pen" }, "Pen"), this.nib);
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(this.pen, { lineCap: "round", lineJoin: "round", strokeStyle: "#111", fillStyle: "#111" });
    this.listen();
    this.move(0, 0);
  }

  listen() {
    const on = (name, act) => this.canvas.addEventListener(name, act);
    on("pointerdown", (event) => this.begin(event));
    on("pointermove", (event) => this.go(event));
    on("pointerup", () => this.end());
    on("keydown", (event) => this.press(event));
  }

  begin(event) {
    if (event.button !== 0) return;
    clearTimeout(this.pause);
    this.keep();
    this.canvas.setPointerCapture(event.pointerId);
    this.pen.lineWidth = (this.nib.value * SIDE) / Math.max(this.grid.width, this.grid.height);
    this.last = this.spot(event);
    this.line(this.last);
    this.changed();
  }

  go(event) {
    if (!this.canvas.hasPointerCapture(event.pointerId)) return;
    const steps = event.getCoalescedEvents();
    for (const step of steps.length ? steps : [event]) this.line(this.spot(step));
  }

  /** Predict when the pen has been up for a while: a character may have several strokes. */
  end() {
    this.pause = setTimeout(() => find("input").requestSubmit(), PAUSE);
  }

  keep() {
    this.strokes.push(this.pen.getImageData(0, 0, SIDE, SIDE));
    this.strokes.splice(0, this.strokes.length - UNDO);
    this.undoing.disabled = false;
  }

  undo() {
    clearTimeout(this.pause);
    this.pen.putImageData(this.strokes.pop(), 0, 0);
    this.undoing.disabled = !this.strokes.length;
    this.changed();
  }

  spot(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * (SIDE / box.width), (event.clientY - box.top) * (SIDE / box.height)];
  }

  line(to) {
    this.pen.beginPath();
    this.pen.moveTo(...this.last);
    this.pen.lineTo(...to);
    this.pen.stroke();
    this.last = to;
  }

  press(event) {
    if (event.key in MOVES) this.move(...MOVES[event.key]);
    else if (event.key === " ") this.toggle();
    else if (event.key === "Enter") find("input").requestSubmit();
    else return;
    event.preventDefault();
  }

  move(down, right) {
    const { height, width } = this.grid;
    const keep = (place, size) => Math.min(Math.max(place, 0), size - 1);
    this.place = [keep(this.place[0] + down, height), keep(this.place[1] + right, width)];
    const [row, column] = this.place;
    const sizes = { top: row / height, left: column / width, height: 1 / height, width: 1 / width };
    for (const [name, share] of Object.entries(sizes)) this.cursor.style[name] = `${100 * share}%`;
    if (down || right) this.speak();
  }

  square() {
    const [high, wide] = [SIDE / this.grid.height, SIDE / this.grid.width];
    return [this.place[1] * wide, this.place[0] * high, wide, high];
  }

  isInked() {
    const [x, y, wide, high] = this.square();
    return this.pen.getImageData(x + wide / 2, y + high / 2, 1, 1).data[3] > 127;
  }

  toggle() {
    this.keep();
    if (this.isInked()) this.pen.clearRect(...this.square());
    else this.pen.fillRect(...this.square());
    this.changed();
    this.speak();
  }

  speak() {
    const [row, column] = this.place;
    this.spoken.textContent = `row ${row + 1}, column ${column + 1}, ${this.isInked() ? "ink" : "empty"}`;
  }

  hide(hidden) {
    this.canvas.hidden = hidden;
  }

  clear() {
    clearTimeout(this.pause);
    this.strokes.length = 0;
    this.undoing.disabled = true;
    this.pen.clearRect(0, 0, SIDE, SIDE);
  }

  /** Return the drawing as a PNG; toBlob waits until the browser is idle, which takes seconds on a busy machine. */
  file() {
    clearTimeout(this.pause); // it is being predicted
    const [, content] = this.canvas.toDataURL("image/png").split(",");
    return Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  }
}
