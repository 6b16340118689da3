// What counts: weights, floors and how they are put together. Moving them generates and scores nothing.

import { made } from "./dom.js";

/** Ways to make one number of scores: name and text. */
export const METHODS = [["weighted_sum", "weighted sum"], ["geometric_mean", "geometric mean"], ["rank_sum", "rank sum"]];

export class Weighing {
  /** @param {import("./model.js").SearchModel} model @param {() => void} changed */
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.scorers = made("div");
    this.method = "weighted_sum";
    this.select = made("select", { id: "method" }, METHODS.map(([value, text]) => new Option(text, value)));
    this.select.addEventListener("change", () => { this.method = this.select.value; changed(); });
    this.reset = made("button", { type: "button", textContent: "As in the search", onclick: () => { this.asInSearch(); changed(); } });
    this.box = made("details", { className: "card", open: matchMedia("(min-width: 901px)").matches }, [
      made("summary", {}, [made("h2", { textContent: "What counts" })]),
      made("p", { className: "faint", textContent: "Ranks what is there by other weights; makes no new pictures." }),
      this.scorers,
      made("div", { className: "row" }, [made("label", { htmlFor: "method", textContent: "put together by" }), this.select]),
      this.reset,
    ]);
    this.asInSearch();
  }

  asInSearch() {
    const scorers = this.model.scorers;
    this.weights = Object.fromEntries(scorers.map((one) => [one.name, one.weight]));
    this.floors = Object.fromEntries(scorers.map((one) => [one.name, one.floor]));
    this.select.value = this.method = this.model.method;
    this.known = scorers.map((one) => one.name).join();
    this.scorers.replaceChildren(...scorers.map((one) => this.#scorer(one)));
  }

  /** Candidates from best to worst, with their potential, and whether they are as the search itself ranks them. */
  ranked() {
    if (this.model.scorers.map((one) => one.name).join() !== this.known) this.asInSearch();
    if (!Object.values(this.weights).some((one) => one > 0)) return [];
    return objective.rank(this.model.inOrderOfProposal, this.weights, this.floors, this.method, this.model.dropsIncomplete);
  }

  #scorer(one) {
    return made("div", { className: "scorer" }, [
      made("b", { textContent: one.name }),
      ...(one.question ? [made("p", { className: "faint", textContent: one.question })] : []),
      ...(one.heldOut ? [made("p", { className: "faint", textContent: "held out: reported, not searched" })] : []),
      this.#slider("weight", one.name, this.weights),
      this.#slider("floor", one.name, this.floors),
    ]);
  }

  #slider(what, name, values) {
    const shown = made("output", { textContent: values[name].toFixed(2) });
    const input = made("input", { type: "range", min: 0, max: 1, step: 0.01, value: values[name], data: { [what]: name }, aria: { label: `${what} of ${name}` } });
    input.addEventListener("input", () => {
      values[name] = Number(input.value);
      shown.textContent = values[name].toFixed(2);
      this.changed();
    });
    return made("label", { className: "slider" }, [what, input, shown]);
  }
}
