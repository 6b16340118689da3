// Which face of a picture is meant: the one that is clicked, the one in a box, or the one like another picture.

import { announce, made } from "./dom.js";
import { PictureList } from "./pictures.js";

const WAYS = [["index", "the largest, or the one clicked"], ["box", "the one in a box"], ["likeness", "the one like another picture"]];
const EDGES = ["left", "top", "right", "bottom"];

export class FaceChoice {
  /** @param {string} name Of the picture. @param {string} title @param {() => void} changed */
  constructor(name, title, changed) {
    [this.name, this.title, this.changed] = [name, title.toLowerCase(), changed];
    this.way = made("select", { id: `face-by-${name}` }, WAYS.map(([value, text]) => new Option(text, value)));
    this.way.addEventListener("change", () => this.#show());
    this.edges = EDGES.map((edge) => made("input", { type: "number", min: 0, step: 1, data: { edge, field: `${name}_face.box` }, aria: { label: `${edge} edge of the box in the ${this.title}, pixels` } }));
    this.edges.forEach((input) => input.addEventListener("change", () => changed()));
    this.boxRow = made("div", { className: "row edges" }, [
      made("span", { className: "faint", textContent: "Draw it over the face, or give its edges in pixels:" }),
      ...this.edges.map((input) => made("label", { className: "row tight" }, [input.dataset.edge, input])),
    ]);
    this.likeness = new PictureList(`${name}_face.likeness`, `Whom to look for in the ${this.title}`, "The face is meant that is most like the largest one of this picture.", 1, changed);
    this.box = made("div", { className: "face-choice" }, [
      made("div", { className: "row" }, [made("label", { htmlFor: this.way.id, textContent: "Face" }), this.way]), this.boxRow, this.likeness.box,
    ]);
    this.reset();
  }

  /** Forget what was found and chosen. */
  reset() {
    [this.faces, this.size, this.index] = [[], null, null];
    this.way.value = "index";
    this.edges.forEach((input) => { input.value = ""; });
    this.likeness.set([]);
    this.box.hidden = true;
    this.#showWay();
  }

  /** Offer the faces of a picture. @param {any} found As DetectFaces answers. @param {any} [selector] What to choose. */
  offer(found, selector) {
    [this.faces, this.size] = [found.faces ?? [], { width: found.width, height: found.height }];
    this.box.hidden = false;
    this.edges.forEach((input) => { input.max = String(this.size[input.dataset.edge === "left" || input.dataset.edge === "right" ? "width" : "height"]); });
    if (!selector) return;
    this.way.value = WAYS.map(([way]) => way).find((way) => selector[way] !== undefined) ?? "index";
    if (selector.index !== undefined) this.index = selector.index;
    if (selector.box) this.edges.forEach((input) => { input.value = String(selector.box[input.dataset.edge] ?? 0); });
    if (selector.likeness) this.likeness.set([selector.likeness]);
    this.#showWay();
  }

  /** The face selector of a request; undefined leaves it to the server. */
  get selector() {
    if (this.way.value === "box") return this.#boxGiven ? { box: Object.fromEntries(this.edges.map((input) => [input.dataset.edge, Number(input.value)])) } : undefined;
    if (this.way.value === "likeness") return this.likeness.images.length ? { likeness: this.likeness.images[0] } : undefined;
    return this.index === null ? undefined : { index: this.index };
  }

  /** What a request still lacks; empty if nothing. */
  get missing() {
    if (this.way.value === "box" && !this.#boxGiven) return `a box around the face of the ${this.title}`;
    return this.way.value === "likeness" && !this.likeness.images.length ? `a picture of whom to look for in the ${this.title}` : "";
  }

  get #boxGiven() {
    return this.edges.every((input) => input.value !== "");
  }

  /** What was found, in words. */
  get text() {
    if (!this.faces.length) return "No face was found.";
    return this.faces.length === 1 ? "One face was found." : `${this.faces.length} faces were found; click the one that is meant.`;
  }

  /** What lies over the picture: its faces, or the box. */
  drawn() {
    if (this.way.value === "box") return this.size ? [this.#canvas()] : [];
    return this.faces.map((face, index) => this.#face(face, index));
  }

  #show() {
    this.#showWay();
    this.changed();
  }

  #showWay() {
    this.boxRow.hidden = this.way.value !== "box";
    this.likeness.box.hidden = this.way.value !== "likeness";
  }

  /** Index of the face that the server takes by itself. */
  get #largest() {
    const area = ({ left = 0, top = 0, right, bottom }) => (right - left) * (bottom - top);
    return this.faces.reduce((best, face, index) => area(face.box) > area(this.faces[best].box) ? index : best, 0);
  }

  #face({ box, detection_score: score }, index) {
    const chosen = this.way.value === "index" && index === (this.index ?? this.#largest);
    const button = made("button", {
      type: "button", className: "face", data: { face: String(index) }, title: `Face ${index + 1}, found with ${Math.round(100 * (score ?? 0))} % confidence`,
      aria: { pressed: String(chosen), label: `Face ${index + 1} of ${this.title}` },
      onclick: () => this.#choose(index),
    }, [made("span", { textContent: String(index + 1) })]);
    this.#place(button, box);
    return button;
  }

  #choose(index) {
    [this.index, this.way.value] = [index, "index"];
    this.#show();
    announce(`Face ${index + 1} is meant.`);
    document.querySelector(`[data-slot="${this.name}"] [data-face="${index}"]`)?.focus();
  }

  #place(node, { left = 0, top = 0, right, bottom }) {
    const { width, height } = this.size;
    Object.assign(node.style, { left: `${100 * left / width}%`, top: `${100 * top / height}%`, width: `${100 * (right - left) / width}%`, height: `${100 * (bottom - top) / height}%` });
  }

  /** A layer on which a box is drawn by dragging. */
  #canvas() {
    const shown = made("div", { className: "face drawn" }), layer = made("div", { className: "box-layer" }, [shown]);
    const show = () => {
      shown.hidden = !this.#boxGiven;
      if (this.#boxGiven) this.#place(shown, this.selector.box);
    };
    let from = null;
    const pointOf = (event) => {
      const edge = layer.getBoundingClientRect(), part = (at, size) => Math.min(1, Math.max(0, at / size));
      return { x: part(event.clientX - edge.left, edge.width) * this.size.width, y: part(event.clientY - edge.top, edge.height) * this.size.height };
    };
    layer.addEventListener("pointerdown", (event) => {
      from = pointOf(event);
      layer.setPointerCapture(event.pointerId);
    });
    layer.addEventListener("pointermove", (event) => {
      if (!from) return;
      const to = pointOf(event);
      const box = { left: Math.floor(Math.min(from.x, to.x)), top: Math.floor(Math.min(from.y, to.y)), right: Math.ceil(Math.max(from.x, to.x)), bottom: Math.ceil(Math.max(from.y, to.y)) };
      this.edges.forEach((input) => { input.value = String(box[input.dataset.edge]); });
      show();
    });
    const end = () => {
      if (from) this.changed();
      from = null;
    };
    layer.addEventListener("pointerup", end);
    layer.addEventListener("pointercancel", end);
    show();
    return layer;
  }
}
