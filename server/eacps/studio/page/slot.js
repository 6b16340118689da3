// A picture of the form: dropped, chosen from files, or a sample; its faces are found, drawn and numbered.

import { call, pictureAddress, upload, wordsOfUpload } from "./api.js";
import { announce, made, toast } from "./dom.js";
import { FaceChoice } from "./faces.js";

const ACCEPTED = "image/png,image/jpeg,image/webp,image/avif,image/tiff,.exr,.tif,.tiff";

export class Slot {
  /**
   * @param {string} name Of the field.
   * @param {string} title
   * @param {{ faces?: boolean, changed?: () => void, required?: boolean }} [options]
   */
  constructor(name, title, { faces = true, changed = () => {}, required = true } = {}) {
    [this.name, this.title, this.changed] = [name, title, changed];
    [this.artifact, this.loads] = ["", 0];
    this.choice = faces ? new FaceChoice(name, title, () => this.#chosen()) : null;
    this.input = made("input", { type: "file", accept: ACCEPTED, id: `file-${name}`, className: "visually-hidden", data: { field: name }, aria: { label: `${title}: file of the picture` } });
    this.input.addEventListener("change", () => this.input.files[0] && this.load(this.input.files[0]));
    this.stage = made("div", { className: "stage" });
    this.note = made("p", { className: "faint", aria: { role: "status" } });
    this.tools = made("div", { className: "row" });
    this.box = made("section", { className: "slot card", data: { slot: name } }, [
      made("div", { className: "row" }, [made("h2", { textContent: title, className: "grow" }), ...(required ? [] : [made("span", { className: "faint", textContent: "optional" })]), this.tools]),
      this.stage, this.note, this.input, ...(this.choice ? [this.choice.box] : []),
    ]);
    this.#accept();
    this.#draw();
  }

  /** Upload a picture and look for faces. @param {Blob} file */
  async load(file) {
    const mine = ++this.loads;
    this.#busy("Uploading …");
    try {
      const { artifact, notes } = await upload(file);
      if (mine !== this.loads) return; // another was chosen meanwhile
      await this.set(artifact, notes.map((note) => `The picture ${note}.`).join(" "));
    } catch (failure) {
      if (mine !== this.loads) return;
      this.#draw();
      this.note.textContent = "";
      toast(wordsOfUpload(failure), "error");
    } finally {
      this.input.value = "";
    }
  }

  /** Take a picture that the server has. @param {string} artifact @param {string} [note] @param {any} [selector] */
  async set(artifact, note = "", selector = null) {
    this.artifact = artifact;
    this.choice?.reset();
    this.changed();
    this.#busy(this.choice ? "Looking for faces …" : "");
    if (this.choice) {
      const found = await call(`/api/pictures/${artifact}/faces`);
      if (this.artifact !== artifact) return;
      this.choice.offer(found, selector);
    }
    this.#draw();
    this.note.textContent = [note, this.choice?.text].filter(Boolean).join(" ");
    this.changed();
  }

  clear() {
    this.loads += 1;
    this.artifact = "";
    this.choice?.reset();
    this.#draw();
    this.note.textContent = "";
    this.changed();
  }

  /** The face selector of a request; undefined leaves it to the server. */
  get selector() {
    return this.choice?.selector;
  }

  get image() {
    return this.artifact ? { artifact: this.artifact } : undefined;
  }

  #chosen() {
    this.#draw();
    this.changed();
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
    this.stage.replaceChildren(made("div", { className: "framed-picture" }, [this.#picture(), ...(this.choice?.drawn() ?? [])]));
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
