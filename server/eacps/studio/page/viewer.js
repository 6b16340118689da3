// A candidate large: in its scene at full frame or as it was made, against anything else, down to the pixel.

import { call, pictureAddress } from "./api.js";
import { made, save, toast } from "./dom.js";
import { more } from "./more.js";
import { picks } from "./picks.js";
import { Zoom } from "./zoom.js";

const TYPING = "input:not([type=range]):not([type=checkbox]), textarea, select";

export class Viewer {
  /** @param {any} page The page of the search. */
  constructor(page) {
    this.page = page;
    this.id = "";
    /** Pictures rendered again, by name. @type {Map<string, any>} */
    this.renders = new Map();
    this.dialog = null;
  }

  get model() {
    return this.page.model;
  }

  /** @param {string} id Of the candidate. */
  show(id) {
    if (!this.dialog) this.#build();
    this.id = id;
    this.sides.a.value = "";
    if (!this.dialog.open) {
      document.body.append(this.dialog);
      this.dialog.showModal();
      this.sides.b.value = "scene";
      this.zoom.box.focus(); // so that keys are the viewer's
    }
    history.replaceState(history.state, "", `/searches/${this.page.id}/${id}`);
    this.#fill(id, this.sides.b.value);
  }

  close() {
    this.dialog?.close();
    this.dialog?.remove();
  }

  /** Follow what has changed in the search. */
  refresh() {
    if (this.dialog?.open) this.#fill(this.sides.a.value, this.sides.b.value);
  }

  #build() {
    this.layers = { a: made("div", { className: "layer over" }), b: made("div", { className: "layer" }) };
    this.drawn = { a: "", b: "" };
    const edge = made("div", { className: "edge" });
    this.content = made("div", { className: "compare" }, [this.layers.b, this.layers.a, edge]);
    this.zoom = new Zoom(this.content, "Comparison. Wheel or plus and minus zoom, drag moves.");
    this.split = made("input", { type: "range", min: 0, max: 100, step: 0.5, value: 50, id: "split", aria: { label: "How much of A is shown" } });
    this.split.addEventListener("input", () => this.content.style.setProperty("--split", `${this.split.value}%`));
    const handle = made("div", { className: "handle", title: "Drag to compare" });
    edge.append(handle);
    handle.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!handle.hasPointerCapture(event.pointerId)) return;
      this.split.value = String(100 * this.zoom.pointOf(event).x / this.zoom.width);
      this.split.dispatchEvent(new Event("input"));
    });
    this.sides = {};
    for (const side of ["a", "b"]) {
      this.sides[side] = made("select", { id: `side-${side}`, onchange: () => this.#chosen(side) });
    }
    this.part = made("select", { id: "part", onchange: () => this.#draw() }, [new Option("whole scene", "whole"), new Option("edited part", "part")]);
    this.title = made("h2", { id: "viewer-title" });
    this.side = made("div", { className: "viewer-side" });
    this.dialog = made("dialog", { className: "viewer", aria: { labelledby: "viewer-title" } }, [
      made("div", { className: "row viewer-bar" }, [
        this.title,
        ...[["side-a", "A", this.sides.a], ["side-b", "B", this.sides.b], ["part", "Show", this.part]].map(([id, text, input]) =>
          made("span", { className: "row tight" }, [made("label", { htmlFor: id, textContent: text }), input])),
        this.zoom.buttons(),
        made("button", { className: "quiet close", textContent: "Close", title: "Close (Esc)", onclick: () => this.dialog.close() }),
      ]),
      made("div", { className: "viewer-stage" }, [this.zoom.box, made("label", { className: "split-row" }, [made("span", { textContent: "A" }), this.split, made("span", { textContent: "B" })])]),
      this.side,
    ]);
    this.dialog.addEventListener("close", () => {
      this.dialog.remove();
      if (location.pathname.startsWith(`/searches/${this.page.id}/`)) history.replaceState(history.state, "", `/searches/${this.page.id}`);
      // This event may come late: whoever has moved on by keys meanwhile stays there.
      if (document.activeElement === document.body || document.activeElement?.matches(".picture")) document.querySelector(`[data-id="${this.id}"] .picture`)?.focus();
    });
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
  }

  #chosen(side) {
    const { value } = this.sides[side];
    if (side === "a" && this.model.candidates.has(value)) return this.show(value);
    this.#fill(this.sides.a.value, this.sides.b.value);
  }

  /** What can be compared: value and text. */
  #choices() {
    const fixed = [["scene", "scene"], ["prior", "prior"]].filter(([name]) => name !== "prior" || this.model.prior);
    const first = [...this.model.shown].sort((left, right) => left.generation - right.generation || left.id.localeCompare(right.id))[0];
    const ranked = this.page.ranked().map(({ one, potential }, index) =>
      [one.id, `#${index + 1} ${one.id} (${potential.value.toFixed(3)})${one === first ? ", first seed" : ""}`]);
    return [...fixed, ...[...this.renders.keys()].map((name) => [name, name]), ...ranked];
  }

  #fill(a, b) {
    const choices = this.#choices();
    const texts = choices.map(([, text]) => text).join("\n");
    if (texts !== this.texts) {
      this.texts = texts;
      for (const side of ["a", "b"]) this.sides[side].replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
    }
    this.sides.a.value = a || this.id;
    this.sides.b.value = b || "scene";
    this.#draw();
    this.#describe();
  }

  #draw() {
    const { frame, scene } = this.model.prior ?? {};
    if (!frame || !scene) return;
    const whole = this.part.value === "whole";
    for (const side of ["a", "b"]) {
      const key = `${this.sides[side].value} ${this.part.value}`;
      if (this.drawn[side] === key) continue;
      this.drawn[side] = key;
      this.layers[side].replaceChildren(...(whole ? this.#whole(this.sides[side].value) : [this.#image(this.#partOf(this.sides[side].value))]));
    }
  }

  /** The pictures that show something in its scene, the lowest first. */
  #whole(name) {
    const { request } = this.model.search, base = this.#image(pictureAddress(request.scene.artifact));
    if (name === "scene") return [base];
    if (name === "prior") return [base, this.#framed(pictureAddress(this.model.prior.prior.artifact))];
    const rendered = this.renders.get(name), one = this.model.candidates.get(name);
    const full = this.#image(rendered ? pictureAddress(rendered.delivered) : `/api/searches/${this.page.id}/candidates/${name}/whole`);
    const rough = one?.thumbnail ? [this.#framed(one.thumbnail)] : [];
    full.addEventListener("load", () => full.parentElement?.replaceChildren(full)); // the small one was there meanwhile
    return [base, ...rough, full];
  }

  #partOf(name) {
    const { prior, scene } = this.model.prior;
    if (name === "scene" || name === "prior") return pictureAddress({ scene, prior }[name].artifact);
    return pictureAddress(this.renders.get(name)?.picture ?? this.model.candidates.get(name).artifact);
  }

  #image(address) {
    const image = made("img", { src: address, alt: "", draggable: false });
    image.addEventListener("load", () => this.zoom.setSize(image.naturalWidth, image.naturalHeight));
    image.addEventListener("error", () => toast("A picture could not be loaded.", "error"));
    return image;
  }

  /** A picture where the edited part lies. */
  #framed(address) {
    const { left = 0, top = 0, right, bottom } = this.model.prior.frame;
    const image = made("img", { className: "framed", src: address, alt: "", draggable: false });
    const place = () => {
      const { width, height } = this.zoom;
      Object.assign(image.style, { left: `${100 * left / width}%`, top: `${100 * top / height}%`, width: `${100 * (right - left) / width}%`, height: `${100 * (bottom - top) / height}%` });
    };
    place();
    image.addEventListener("load", place);
    return image;
  }

  #describe() {
    const one = this.model.candidates.get(this.id);
    if (!one) return;
    const entry = this.page.ranked().find((each) => each.one.id === this.id);
    const key = JSON.stringify([this.id, entry?.potential, picks.has(this.page.id, this.id), this.model.shown.length, this.model.running, [...this.renders.keys()]]);
    if (key === this.described) return;
    this.described = key;
    this.title.textContent = `Candidate ${one.id}`;
    const family = searchPlot.ancestors(this.model.shown, this.id), children = this.model.shown.filter((each) => each.parents.includes(this.id));
    this.side.replaceChildren(
      made("p", { className: "potential" }, [made("b", { textContent: entry ? entry.potential.value.toFixed(3) : "not ranked" }),
        made("span", { className: "faint", textContent: entry?.potential.shortfall > 0 ? " below a floor" : entry && !entry.potential.complete ? " at least: a score is missing" : " potential" })]),
      ...this.model.scorers.map((scorer) => this.#score(scorer, one)),
      made("p", { className: "faint", textContent: searchPlot.descent(one) }),
      ...(family.length > 1 ? [this.#relatives("Lineage", family)] : []),
      ...(children.length ? [this.#relatives("Children", children.map((each) => each.id))] : []),
      made("div", { className: "actions" }, [
        made("button", { className: "primary", textContent: "More like this one", title: "M", onclick: () => more(this.page, [this.id]) }),
        made("button", { textContent: picks.has(this.page.id, this.id) ? "★ Picked" : "☆ Pick", title: "P", id: "pick", aria: { pressed: String(picks.has(this.page.id, this.id)) }, onclick: () => this.#pick() }),
        made("a", { className: "button", id: "download", href: `/api/searches/${this.page.id}/candidates/${this.id}/file`, download: "", textContent: "Download picture" }),
        made("button", { textContent: "Download record", onclick: () => this.#saveRecord() }),
        this.#renderForm(one),
      ]),
      made("p", { className: "faint keys", textContent: "Keys: ← → other candidates · P pick · M more like this · 0 fit · 1 pixels · + − zoom · Esc close" }),
    );
  }

  #score(scorer, one) {
    const value = one.scores[scorer.name], end = one.saturated.includes(scorer.name);
    const text = value === undefined ? "none" : value.toFixed(2) + (end ? " sat." : "");
    const bar = made("i");
    bar.style.setProperty("--value", String(value ?? 0));
    return made("div", { className: end ? "score end" : "score", title: value === undefined ? one.missing[scorer.name] || "not scored" : end ? `At the upper end of its scale; raw ${one.raw[scorer.name]}` : "" }, [
      made("span", { textContent: scorer.name }), bar, made("output", { className: "number", textContent: text }),
      ...(scorer.question ? [made("p", { className: "faint", textContent: scorer.question })] : []),
    ]);
  }

  #relatives(title, ids) {
    return made("div", {}, [made("h3", { textContent: title }), made("div", { className: "relatives" }, ids.map((id) =>
      made("button", { className: id === this.id ? "here" : "", title: id, aria: { label: `Show ${id}` }, onclick: () => this.show(id) }, [
        made("img", { src: this.model.candidates.get(id).thumbnail, alt: "" }), made("span", { textContent: id })])))]);
  }

  #renderForm(one) {
    const { started } = this.model, range = this.page.context.offered.ranges.find((each) => each.field === "sampler.steps");
    const steps = made("input", { type: "number", id: "steps", min: range.least, max: range.most, value: Math.min(range.most, 2 * started.steps), aria: { label: "Number of steps" } });
    const button = made("button", { textContent: "Render" });
    const form = made("form", { className: "row" }, [made("label", { htmlFor: "steps", textContent: "Steps" }), steps, button]);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      button.textContent = "Rendering …";
      try {
        const rendered = await call(`/api/searches/${this.page.id}/candidates/${one.id}/render`, { method: "POST", body: { recipe: one.recipe, sampler: { steps: Number(steps.value) } } });
        const name = `${one.id}, ${rendered.steps} steps`;
        this.renders.set(name, rendered);
        this.#fill(name, one.id);
        toast(`Rendered with ${rendered.steps} steps; it is side A.`);
      } catch (failure) {
        toast(failure.message, "error");
      }
      button.disabled = false;
      button.textContent = "Render";
    });
    const links = [...this.renders].filter(([name]) => name.startsWith(`${one.id}, `)).map(([name, rendered]) =>
      made("a", { className: "button", href: `/api/pictures/${rendered.delivered}/file`, download: "", textContent: `Download ${name}` }));
    return made("details", { open: links.length > 0 }, [made("summary", { textContent: "Render with more steps" }), form, ...links]);
  }

  #pick() {
    this.page.pick(this.id);
    this.#describe();
  }

  #saveRecord() {
    const { search, started, finished } = this.model, one = this.model.candidates.get(this.id);
    const record = { search_id: search.search_id, request: search.request, started, candidate: one.message, versions: finished?.versions };
    save(JSON.stringify(record, null, 2), `${search.search_id.slice(0, 8)}_${one.id}.json`, "application/json");
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.matches(TYPING)) return;
    const ids = this.page.ranked().map(({ one }) => one.id), at = ids.indexOf(this.id);
    const isSplit = event.target === this.split;
    const toOther = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (toOther && !isSplit && this.zoom.fitted) {
      const next = ids[at + toOther];
      if (next) this.show(next);
      event.preventDefault();
    } else if (event.key === "p") this.#pick();
    else if (event.key === "m") more(this.page, [this.id]);
    else if (!isSplit) this.zoom.key(event);
  }
}
