// A picture of the form: dropped, chosen from files, or a sample; its faces are found, drawn, numbered and chosen by click.

import { call, pictureAddress, upload } from "./api.js";
import { announce, made, toast } from "./dom.js";

const ACCEPTED = "image/png,image/jpeg,image/webp,image/avif,image/tiff,.exr,.tif,.tiff";

export class Slot {
  /**
   * @param {string} name Of the field.
   * @param {string} title
   * @param {{ faces?: boolean, changed?: () => void, required?: boolean }} [options]
   */
  constructor(name, title, { faces = true, changed = () => {}, required = true } = {}) {
    [this.name, this.title, this.wantsFaces, this.changed] = [name, title, faces, changed];
    this.artifact = "";
    this.size = null;
    this.faces = [];
    /** Index of the chosen face; null leaves it to the server: the largest. @type {number | null} */
    this.face = null;
    this.input = made("input", { type: "file", accept: ACCEPTED, id: `file-${name}`, className: "visually-hidden", data: { field: name }, aria: { label: `${title}: file of the picture` } });
    this.input.addEventListener("change", () => this.input.files[0] && this.load(this.input.files[0]));
    this.stage = made("div", { className: "stage" });
    this.note = made("p", { className: "faint", aria: { role: "status" } });
    this.tools = made("div", { className: "row" });
    this.box = made("section", { className: "slot card", data: { slot: name } }, [
      made("div", { className: "row" }, [made("h2", { textContent: title, className: "grow" }), ...(required ? [] : [made("span", { className: "faint", textContent: "optional" })]), this.tools]),
      this.stage, this.note, this.input,
    ]);
    this.#accept();
    this.#draw();
  }

  /** Upload a picture and look for faces. @param {Blob} file */
  async load(file) {
    this.#busy("Uploading …");
    try {
      const { artifact, notes } = await upload(file);
      await this.set(artifact, notes.map((note) => `The picture ${note}.`).join(" "));
    } catch (failure) {
      this.#draw();
      this.note.textContent = "";
      const told = failure.violations?.map((one) => one.description).join("; ");
      toast(told ? `This file cannot be used: it ${told}.` : failure.message, "error");
    }
    this.input.value = "";
  }

  /** Take a picture that the server has. @param {string} artifact @param {string} [note] @param {any} [selector] */
  async set(artifact, note = "", selector = null) {
    [this.artifact, this.faces, this.face, this.size] = [artifact, [], null, null];
    this.changed();
    this.#busy(this.wantsFaces ? "Looking for faces …" : "");
    if (this.wantsFaces) {
      const found = await call(`/api/pictures/${artifact}/faces`);
      if (this.artifact !== artifact) return;
      [this.faces, this.size] = [found.faces ?? [], { width: found.width, height: found.height }];
      if (selector?.index !== undefined) this.face = selector.index;
      if (selector && "index" in selector === false) this.selector_ = selector; // by box or likeness: kept as it is
    }
    this.#draw();
    this.note.textContent = [note, this.#facesText()].filter(Boolean).join(" ");
    this.changed();
  }

  clear() {
    [this.artifact, this.faces, this.face, this.size, this.selector_] = ["", [], null, null, null];
    this.#draw();
    this.note.textContent = "";
    this.changed();
  }

  /** The face selector of a request; undefined leaves it to the server. */
  get selector() {
    return this.face === null ? this.selector_ ?? undefined : { index: this.face };
  }

  get image() {
    return this.artifact ? { artifact: this.artifact } : undefined;
  }

  #facesText() {
    if (!this.wantsFaces) return "";
    if (!this.faces.length) return "No face was found.";
    return this.faces.length === 1 ? "One face was found." : `${this.faces.length} faces were found; click the one that is meant.`;
  }

  #busy(text) {
    this.box.setAttribute("aria-busy", "true");
    this.note.textContent = text;
    if (text) announce(`${this.title}: ${text}`);
    if (this.artifact) this.stage.replaceChildren(made("div", { className: "framed-picture" }, [this.#picture()]));
  }

  #picture() {
    const image = made("img", { src: pictureAddress(this.artifact, 1024), alt: this.title });
    image.addEventListener("load", () => image.parentElement?.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight)));
    return image;
  }

  #draw() {
    this.box.removeAttribute("aria-busy");
    this.tools.replaceChildren();
    if (!this.artifact) {
      this.stage.replaceChildren(made("label", { className: "drop", htmlFor: this.input.id }, [
        made("b", { textContent: `Choose a ${this.title.toLowerCase()}` }), made("span", { className: "faint", textContent: "or drop, or paste a picture here" })]));
      return;
    }
    this.tools.append(made("button", { type: "button", className: "quiet", textContent: "Replace", onclick: () => this.input.click() }),
      made("button", { type: "button", className: "quiet", textContent: "Remove", aria: { label: `Remove ${this.title.toLowerCase()}` }, onclick: () => this.clear() }));
    this.stage.replaceChildren(made("div", { className: "framed-picture" }, [this.#picture(), ...this.faces.map((face, index) => this.#face(face, index))]));
  }

  /** Index of the face that the server takes by itself. */
  get largest() {
    const area = ({ left = 0, top = 0, right, bottom }) => (right - left) * (bottom - top);
    return this.faces.reduce((best, face, index) => area(face.box) > area(this.faces[best].box) ? index : best, 0);
  }

  #face({ box: { left = 0, top = 0, right, bottom }, detection_score: score }, index) {
    const { width, height } = this.size, chosen = index === (this.face ?? (this.selector_ ? -1 : this.largest));
    const button = made("button", {
      type: "button", className: "face", data: { face: String(index) }, title: `Face ${index + 1}, found with ${Math.round(100 * (score ?? 0))} % confidence`,
      aria: { pressed: String(chosen), label: `Face ${index + 1} of ${this.title.toLowerCase()}` },
      onclick: () => { this.face = index; this.#draw(); this.changed(); announce(`Face ${index + 1} is meant.`); this.stage.querySelector(`[data-face="${index}"]`).focus(); },
    }, [made("span", { textContent: String(index + 1) })]);
    Object.assign(button.style, { left: `${100 * left / width}%`, top: `${100 * top / height}%`, width: `${100 * (right - left) / width}%`, height: `${100 * (bottom - top) / height}%` });
    return button;
  }

  #accept() {
    const { box } = this;
    box.addEventListener("dragover", (event) => { event.preventDefault(); box.classList.add("over"); });
    box.addEventListener("dragleave", () => box.classList.remove("over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      box.classList.remove("over");
      const [file] = event.dataTransfer.files;
      if (file) this.load(file);
    });
  }
}
