// Further pictures of a request: several of one kind.

import { pictureAddress, upload, wordsOfUpload } from "./api.js";
import { made, toast } from "./dom.js";

export class PictureList {
  /** @param {string} name Of the field. @param {string} title @param {string} hint @param {number} most @param {() => void} [changed] */
  constructor(name, title, hint, most, changed = () => {}) {
    [this.title, this.most, this.images, this.changed] = [title, most, [], changed];
    this.input = made("input", { type: "file", accept: "image/*,.exr,.tif,.tiff", multiple: most > 1, hidden: true, data: { field: name } });
    this.input.addEventListener("change", () => this.#add([...this.input.files]));
    this.add = made("button", { type: "button", textContent: "Add", aria: { label: `Add ${title.toLowerCase()}` }, onclick: () => this.input.click() });
    this.list = made("div", { className: "relatives" });
    this.box = made("div", { className: "picture-list", data: { list: name } }, [
      made("div", { className: "row" }, [made("b", { className: "grow", textContent: title }), this.add]),
      made("p", { className: "faint", textContent: hint }), this.list, this.input,
    ]);
  }

  /** Take pictures that the server has. @param {{ artifact: string }[]} images */
  set(images) {
    this.images = [...images];
    this.#draw();
  }

  async #add(files) {
    const room = this.most - this.images.length;
    for (const file of files.slice(0, room)) {
      try {
        this.images.push({ artifact: (await upload(file)).artifact });
      } catch (failure) {
        toast(wordsOfUpload(failure, file.name), "error");
      }
      this.#draw();
      this.changed();
    }
    if (files.length > room) toast(`At most ${this.most} pictures count here.`, "error");
    this.input.value = "";
  }

  #remove(index) {
    this.images.splice(index, 1);
    this.#draw();
    this.add.focus();
    this.changed();
  }

  #draw() {
    this.add.disabled = this.images.length >= this.most;
    this.list.replaceChildren(...this.images.map((image, index) =>
      made("button", { type: "button", title: "Remove", aria: { label: `Remove picture ${index + 1} of ${this.title.toLowerCase()}` }, onclick: () => this.#remove(index) }, [
        made("img", { src: pictureAddress(image.artifact, 256), alt: "" }), made("span", { textContent: "Remove" })])));
  }
}
