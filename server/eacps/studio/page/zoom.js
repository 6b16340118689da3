// A window onto a picture: wheel and pinch zoom, drag pans, keys do both. Above 200 % pixels are shown as squares.

import { made } from "./dom.js";

const LEAST = 0.02, MOST = 32, STEP = 1.25, PAN = 60, SQUARES = 2;

export class Zoom {
  /**
   * @param {HTMLElement} content What is shown; it gets the size of the picture.
   * @param {string} label For screen readers.
   */
  constructor(content, label) {
    this.content = content;
    this.box = made("div", { className: "zoom", tabIndex: 0, aria: { label, role: "group" } }, [content]);
    [this.width, this.height, this.scale, this.x, this.y] = [1, 1, 1, 0, 0];
    this.fitted = true;
    /** Whether dragging pans; a brush turns it off. */
    this.pans = true;
    this.onchange = () => {};
    this.#listen();
    this.observer = new ResizeObserver(() => this.fitted ? this.fit() : this.#apply());
    this.observer.observe(this.box);
  }

  /** @param {number} width @param {number} height In pixels of the picture. */
  setSize(width, height) {
    if (width === this.width && height === this.height) return;
    [this.width, this.height] = [width, height];
    this.content.style.width = `${width}px`;
    this.content.style.height = `${height}px`;
    this.fit();
  }

  /** Show the whole picture. */
  fit() {
    const { clientWidth, clientHeight } = this.box;
    this.scale = Math.max(LEAST, Math.min(clientWidth / this.width, clientHeight / this.height, MOST));
    this.x = (clientWidth - this.width * this.scale) / 2;
    this.y = (clientHeight - this.height * this.scale) / 2;
    this.fitted = true;
    this.#apply();
  }

  /** One pixel of the picture on one of the screen, or any other scale, about a point of the window. */
  zoomTo(scale, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const next = Math.min(MOST, Math.max(LEAST, scale)), factor = next / this.scale;
    this.x = x - (x - this.x) * factor;
    this.y = y - (y - this.y) * factor;
    this.scale = next;
    this.fitted = false;
    this.#apply();
  }

  /** The point of the picture under a pointer, in its pixels. @param {{ clientX: number, clientY: number }} event */
  pointOf(event) {
    const edge = this.box.getBoundingClientRect();
    return { x: (event.clientX - edge.left - this.x) / this.scale, y: (event.clientY - edge.top - this.y) / this.scale };
  }

  /** Buttons for it. */
  buttons() {
    const shown = made("output", { className: "faint number" });
    this.onchange = () => { shown.textContent = `${Math.round(this.scale * devicePixelRatio * 100)} %`; };
    this.onchange();
    const button = (text, label, onclick) => made("button", { type: "button", textContent: text, title: label, aria: { label }, onclick });
    return made("div", { className: "row tools" }, [
      button("Fit", "Fit the whole picture (0)", () => this.fit()),
      button("1:1", "1:1, one pixel on one pixel (1)", () => this.zoomTo(1 / devicePixelRatio)),
      button("−", "Smaller (-)", () => this.zoomTo(this.scale / STEP)),
      button("+", "Larger (+)", () => this.zoomTo(this.scale * STEP)),
      shown,
    ]);
  }

  /** Act on a key; returns whether it was one of the window's. @param {KeyboardEvent} event */
  key(event) {
    const moves = { ArrowLeft: [PAN, 0], ArrowRight: [-PAN, 0], ArrowUp: [0, PAN], ArrowDown: [0, -PAN] };
    if (event.key === "0") this.fit();
    else if (event.key === "1") this.zoomTo(1 / devicePixelRatio);
    else if (event.key === "+" || event.key === "=") this.zoomTo(this.scale * STEP);
    else if (event.key === "-") this.zoomTo(this.scale / STEP);
    else if (event.key in moves && event.target === this.box && !this.fitted) this.#pan(...moves[event.key]);
    else return false;
    event.preventDefault();
    return true;
  }

  #pan(x, y) {
    [this.x, this.y, this.fitted] = [this.x + x, this.y + y, false];
    this.#apply();
  }

  #apply() {
    const { clientWidth, clientHeight } = this.box, [width, height] = [this.width * this.scale, this.height * this.scale];
    const kept = (at, size, room) => size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at));
    this.x = kept(this.x, width, clientWidth);
    this.y = kept(this.y, height, clientHeight);
    this.content.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.box.classList.toggle("squares", this.scale >= SQUARES);
    this.box.style.setProperty("--scale", String(this.scale));
    this.onchange();
  }

  #listen() {
    const pointers = new Map();
    this.box.addEventListener("wheel", (event) => {
      event.preventDefault();
      const edge = this.box.getBoundingClientRect();
      this.zoomTo(this.scale * Math.exp(-event.deltaY / 400), event.clientX - edge.left, event.clientY - edge.top);
    }, { passive: false });
    this.box.addEventListener("pointerdown", (event) => {
      if (!this.pans && event.pointerType !== "touch" && event.button !== 1) return;
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLButtonElement) return;
      pointers.set(event.pointerId, event);
      if (this.pans || pointers.size > 1 || event.button === 1) this.box.setPointerCapture(event.pointerId);
    });
    this.box.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      if (other) {
        const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
        const edge = this.box.getBoundingClientRect();
        const middle = { x: (event.clientX + other.clientX) / 2 - edge.left, y: (event.clientY + other.clientY) / 2 - edge.top };
        this.zoomTo(this.scale * distance(event) / Math.max(1, distance(before)), middle.x, middle.y);
        this.#pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
      } else if (this.pans || before.button === 1) {
        this.#pan(event.clientX - before.clientX, event.clientY - before.clientY);
      }
      pointers.set(event.pointerId, Object.assign(event, { pointerId: event.pointerId }));
    });
    const drop = (event) => pointers.delete(event.pointerId);
    this.box.addEventListener("pointerup", drop);
    this.box.addEventListener("pointercancel", drop);
    this.box.addEventListener("dblclick", (event) => {
      if (!this.pans) return;
      const edge = this.box.getBoundingClientRect();
      this.fitted ? this.zoomTo(2 / devicePixelRatio, event.clientX - edge.left, event.clientY - edge.top) : this.fit();
    });
    this.box.addEventListener("keydown", (event) => this.key(event));
  }
}
