// Where the scene may change: painted over it at its full size, with brush and eraser, and feathered.

import { pictureAddress, upload } from "./api.js";
import { announce, made, toast } from "./dom.js";
import { Zoom } from "./zoom.js";

const STEPS_BACK = 12;

export class MaskTool {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.scene = null;
    this.artifact = "";
    /** What is painted: opaque where the scene may change. @type {HTMLCanvasElement | null} */
    this.canvas = null;
    this.feather = 0;
    this.uploadedFor = null;
    this.state = made("span", { className: "faint grow" });
    this.open = made("button", { type: "button", textContent: "Paint a mask", id: "paint", onclick: () => this.#paint() });
    this.remove = made("button", { type: "button", className: "quiet", textContent: "Remove mask", hidden: true, onclick: () => this.clear() });
    this.box = made("div", { className: "row mask-row" }, [this.state, this.open, this.remove]);
    this.#describe();
  }

  /** Follow the scene: a mask is of one scene. @param {import("./slot.js").Slot} scene */
  setScene(scene) {
    if (scene.artifact !== this.artifact) {
      this.artifact = scene.artifact;
      this.clear();
    }
    this.scene = scene;
    this.#describe();
  }

  clear() {
    [this.canvas, this.uploadedFor, this.feather] = [null, null, 0];
    this.#describe();
    this.changed();
  }

  #describe() {
    this.box.hidden = !this.scene?.artifact;
    this.remove.hidden = !this.canvas;
    this.open.textContent = this.canvas ? "Edit the mask" : "Paint a mask";
    this.state.textContent = this.canvas ? "Only what is painted may change." : "Everything that is edited may change.";
  }

  /** Take a mask that the server has. @param {string} artifact */
  async load(artifact) {
    const image = await loaded(pictureAddress(artifact));
    const canvas = blank(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < pixels.data.length; at += 4) { // its level becomes opacity
      pixels.data[at + 3] = pixels.data[at];
      pixels.data[at] = pixels.data[at + 1] = pixels.data[at + 2] = 255;
    }
    context.putImageData(pixels, 0, 0);
    [this.canvas, this.uploadedFor] = [canvas, { artifact, canvas, feather: 0 }];
    this.#describe();
  }

  /** The mask as a picture of a request; undefined if there is none. */
  async uploaded() {
    if (!this.canvas) return undefined;
    const same = this.uploadedFor?.canvas === this.canvas && this.uploadedFor.feather === this.feather;
    if (!same) {
      const file = await new Promise((resolve) => feathered(this.canvas, this.feather).toBlob(resolve, "image/png"));
      this.uploadedFor = { artifact: (await upload(file)).artifact, canvas: this.canvas, feather: this.feather };
    }
    return { artifact: this.uploadedFor.artifact };
  }

  async #paint() {
    try {
      const image = await loaded(pictureAddress(this.artifact));
      const painted = await new Painter(image, this.canvas, this.feather).ask();
      if (painted) {
        [this.canvas, this.feather] = [painted.canvas, painted.feather];
        this.#describe();
        this.changed();
        announce(painted.canvas ? "The mask is kept." : "There is no mask.");
      }
    } catch (failure) {
      toast(`The scene could not be opened: ${failure.message ?? failure}`, "error");
    }
    this.open.focus();
  }
}

class Painter {
  constructor(image, canvas, feather) {
    this.image = image;
    this.canvas = blank(image.naturalWidth, image.naturalHeight);
    this.context = this.canvas.getContext("2d");
    if (canvas) this.context.drawImage(canvas, 0, 0);
    this.canvas.className = "paint";
    this.canvas.id = "mask-canvas";
    this.history = [];
    this.erases = false;
    this.#build(feather);
  }

  #build(feather) {
    const longest = Math.max(this.canvas.width, this.canvas.height);
    const content = made("div", { className: "painting" }, [this.image, this.canvas, this.cursor = made("div", { className: "brush" })]);
    this.zoom = new Zoom(content, "Scene with the mask. Drag paints; arrow keys move the brush, Enter paints there, Shift and arrow keys paint along.");
    this.zoom.pans = false;
    this.size = made("input", { type: "range", id: "brush-size", min: 1, max: Math.round(longest / 2), value: Math.max(2, Math.round(longest / 16)), step: 1 });
    this.feather = made("input", { type: "range", id: "feather", min: 0, max: Math.round(longest / 10), value: feather, step: 1 });
    const pixels = (input) => {
      const shown = made("output", { className: "number faint", textContent: `${input.value} px` });
      input.addEventListener("input", () => { shown.textContent = `${input.value} px`; });
      return shown;
    };
    this.feather.addEventListener("input", () => this.#showFeather());
    const button = (text, label, onclick, extra = {}) => made("button", { type: "button", textContent: text, title: label, onclick, ...extra });
    this.brushButton = button("Brush", "Paint (B)", () => this.#erase(false));
    this.eraserButton = button("Eraser", "Erase (E)", () => this.#erase(true));
    this.dialog = made("dialog", { className: "painter", aria: { label: "Paint a mask" } }, [
      made("div", { className: "row viewer-bar" }, [
        made("div", { className: "segments" }, [this.brushButton, this.eraserButton]),
        made("label", { className: "row tight" }, ["Size", this.size, pixels(this.size)]),
        made("label", { className: "row tight" }, ["Feather", this.feather, pixels(this.feather)]),
        button("Undo", "Undo (Ctrl+Z)", () => this.#undo()),
        button("Invert", "Exchange what may and may not change (I)", () => this.#invert()),
        button("Clear", "Paint anew", () => this.#clear()),
        this.zoom.buttons(),
        made("div", { className: "row tight decide" }, [
          button("Discard", "Leave the mask as it was (Esc)", () => this.dialog.close("discard"), { className: "quiet" }),
          button("Keep", "Use this mask", () => this.dialog.close("keep"), { className: "primary" }),
        ]),
      ]),
      this.zoom.box,
      made("p", { className: "faint keys", textContent: "Painted parts may change. Keys: arrows move the brush · Enter paints · Shift+arrows paint along · B brush · E eraser · [ ] size · I invert · Ctrl+Z undo · space and drag moves · + − 0 1 zoom" }),
    ]);
    this.#erase(false);
    this.#listen();
  }

  /** Show it; resolves to what is to be used, or null if nothing is. */
  ask() {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.zoom.setSize(this.canvas.width, this.canvas.height);
    this.#moveBrush({ x: this.canvas.width / 2, y: this.canvas.height / 2 });
    this.#showFeather();
    this.zoom.box.focus();
    return new Promise((resolve) => this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      if (this.dialog.returnValue !== "keep") return resolve(null);
      resolve({ canvas: this.#isEmpty() ? null : this.canvas, feather: Number(this.feather.value) });
    }));
  }

  #isEmpty() {
    const { data } = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let at = 3; at < data.length; at += 4) if (data[at]) return false;
    return true;
  }

  #erase(erases) {
    this.erases = erases;
    this.brushButton.setAttribute("aria-pressed", String(!erases));
    this.eraserButton.setAttribute("aria-pressed", String(erases));
  }

  #showFeather() {
    this.canvas.style.setProperty("--feather", `${Number(this.feather.value) / 2}px`);
  }

  #remember() {
    const copy = blank(this.canvas.width, this.canvas.height);
    copy.getContext("2d").drawImage(this.canvas, 0, 0);
    this.history.push(copy);
    if (this.history.length > STEPS_BACK) this.history.shift();
  }

  #undo() {
    const before = this.history.pop();
    if (!before) return;
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.drawImage(before, 0, 0);
  }

  #clear() {
    this.#remember();
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  #invert() {
    this.#remember();
    this.context.globalCompositeOperation = "xor";
    this.context.fillStyle = "#fff";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
    this.context.globalCompositeOperation = "source-over";
  }

  #stroke(from, to) {
    const { context } = this;
    context.globalCompositeOperation = this.erases ? "destination-out" : "source-over";
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: Number(this.size.value), strokeStyle: "#fff" });
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x + 0.01, to.y);
    context.stroke();
    context.globalCompositeOperation = "source-over";
  }

  /** Show the brush at a point of the scene. */
  #moveBrush(point) {
    this.brush = point;
    const size = Number(this.size.value);
    Object.assign(this.cursor.style, { left: `${point.x - size / 2}px`, top: `${point.y - size / 2}px`, width: `${size}px`, height: `${size}px` });
  }

  /** Move the brush by an arrow key, or paint with it; returns whether the key was one of its own. */
  #keyOfBrush(event) {
    const step = Math.max(1, Number(this.size.value) / 4), from = this.brush;
    const [x, y] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step], Enter: [0, 0] }[event.key] ?? [];
    if (x === undefined) return false;
    const within = (at, size) => Math.min(size, Math.max(0, at));
    const to = { x: within(from.x + x, this.canvas.width), y: within(from.y + y, this.canvas.height) };
    if (event.shiftKey || event.key === "Enter") {
      this.#remember();
      this.#stroke(from, to);
    }
    this.#moveBrush(to);
    return true;
  }

  #listen() {
    let last = null, space = false;
    const { box } = this.zoom;
    this.size.addEventListener("input", () => this.#moveBrush(this.brush));
    box.addEventListener("pointerdown", (event) => {
      if (event.button || space || (event.pointerType === "touch" && !event.isPrimary)) return;
      this.#remember();
      last = this.zoom.pointOf(event);
      this.#stroke(last, last);
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      this.#moveBrush(this.zoom.pointOf(event));
      if (!last || !event.isPrimary) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) {
        const next = this.zoom.pointOf(each);
        this.#stroke(last, next);
        last = next;
      }
    });
    const end = () => { last = null; };
    box.addEventListener("pointerup", end);
    box.addEventListener("pointercancel", end);
    this.dialog.addEventListener("keydown", (event) => {
      const grow = { "[": 0.8, "]": 1.25 }[event.key];
      if (event.key === " " && event.target === box) this.zoom.pans = space = true;
      else if (event.key === "b") this.#erase(false);
      else if (event.key === "e") this.#erase(true);
      else if (event.key === "i") this.#invert();
      else if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.#undo();
      else if (grow) { this.size.value = String(Math.max(1, Math.round(Number(this.size.value) * grow))); this.size.dispatchEvent(new Event("input")); }
      else if (event.target !== box && event.target !== this.dialog || !this.#keyOfBrush(event) && !this.zoom.key(event)) return;
      event.preventDefault();
    });
    this.dialog.addEventListener("keyup", (event) => { if (event.key === " ") this.zoom.pans = space = false; });
  }
}

function blank(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height });
}

/** What is painted as white on black, its edges blurred. */
function feathered(canvas, radius) {
  const result = blank(canvas.width, canvas.height), context = result.getContext("2d");
  context.fillStyle = "#000";
  context.fillRect(0, 0, result.width, result.height);
  if (radius) context.filter = `blur(${radius / 2}px)`;
  context.drawImage(canvas, 0, 0);
  return result;
}

async function loaded(address) {
  const image = Object.assign(new Image(), { src: address, alt: "Scene", draggable: false });
  await image.decode();
  return image;
}
