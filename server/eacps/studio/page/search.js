// One search: its candidates as they arrive, its plot, and what may be done with them.

import { call, pictureAddress } from "./api.js";
import { announce, made, toast } from "./dom.js";
import { follow } from "./follow.js";
import { moment } from "./history.js";
import { SearchModel } from "./model.js";
import { more } from "./more.js";
import { picks } from "./picks.js";
import { Viewer } from "./viewer.js";
import { Weighing } from "./weigh.js";

/** Of a candidate, as a pick. */
export function pickOf(model, one, potential) {
  const { search_id: search, labels, request } = model.search;
  return { search, candidate: one.id, artifact: one.artifact, prompt: request.prompt, shot: labels?.shot ?? "", seeds: one.seeds, potential };
}

export async function searchView(context, searchId, candidateId) {
  const page = new SearchPage(context, await call(`/api/searches/${searchId}`));
  page.open(candidateId);
  return () => page.close();
}

class SearchPage {
  constructor(context, search) {
    this.context = context;
    this.model = new SearchModel(search);
    this.weighing = new Weighing(this.model, () => this.#draw());
    /** @type {Map<string, any>} */
    this.cards = new Map();
    this.marked = new Set();
    this.selected = "";
    this.viewer = new Viewer(this);
    this.#build();
  }

  get id() {
    return this.model.search.search_id;
  }

  open(candidateId) {
    this.wanted = candidateId ?? "";
    this.#follow();
    this.#draw();
  }

  close() {
    this.stop?.();
    cancelAnimationFrame(this.frame);
    this.viewer.close();
    this.model.release();
  }

  #follow() {
    this.stop = follow(this.model, {
      changed: () => this.#schedule(),
      failed: async (failure) => {
        if (failure) return toast(failure.message, "error");
        try {
          await call(`/api/searches/${this.id}`); // a refusal says more here
          this.#follow();
        } catch (refused) {
          if (refused.status !== 401) toast(refused.message, "error");
        }
      },
    });
  }

  #schedule() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.#draw());
  }

  #build() {
    const { search } = this.model, labels = Object.entries(search.labels ?? {});
    this.state = made("span", { className: "state" });
    this.progress = made("progress", { max: 1, aria: { label: "Share of the planned cost" } });
    this.facts = made("span", { className: "faint" });
    this.cancel = made("button", { textContent: "Cancel", onclick: () => this.#cancel() });
    this.problem = made("p", { className: "error", hidden: true, aria: { role: "alert" } });
    this.sort = made("select", { id: "sort" }, ["best first", "newest first", "order made"].map((one) => new Option(one, one)));
    this.sort.addEventListener("change", () => this.#draw());
    this.both = made("button", { textContent: "More like these two", disabled: true, onclick: () => more(this, [...this.marked]) });
    this.grid = made("div", { className: "grid", id: "grid", aria: { label: "Candidates", role: "group" } });
    this.inputs = made("div", { className: "inputs" });
    this.svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 300 190", role: "img", "aria-label": "Potential by cost" })) this.svg.setAttribute(name, value);
    this.context.root.append(
      made("div", { className: "search-head" }, [
        made("h1", { textContent: search.request.prompt }),
        made("div", { className: "row" }, [
          this.state, this.progress, this.facts, this.cancel,
          made("a", { className: "button", href: `/?from=${this.id}`, data: { link: "" }, textContent: "Change and search again" }),
        ]),
        made("p", { className: "faint", textContent: `${moment(search.create_time)}${labels.length ? ` · ${labels.map(([key, value]) => `${key}=${value}`).join(", ")}` : ""} · ${this.id.slice(0, 12)}` }),
        this.problem,
      ]),
      made("div", { className: "columns" }, [
        made("aside", {}, [
          made("section", { className: "card" }, [made("h2", { textContent: "Progress" }), this.svg,
            made("p", { className: "faint", textContent: "Across: cost in trajectories. Upwards: potential. A line joins a child to its parents." })]),
          this.weighing.box,
          made("section", { className: "card" }, [made("h2", { textContent: "From" }), this.inputs]),
        ]),
        made("section", {}, [
          made("div", { className: "row bar-above" }, [
            made("h2", { textContent: "Candidates", className: "grow" }),
            this.both,
            made("span", { className: "row tight" }, [made("label", { htmlFor: "sort", textContent: "Sort" }), this.sort]),
          ]),
          this.grid,
        ]),
      ]),
    );
    this.#drawInputs();
  }

  #drawInputs() {
    const { request } = this.model.search;
    const shown = [["Scene", request.scene.artifact], ["Person", request.character.artifact], ["Prior", this.model.prior?.prior?.artifact], ["Mask", request.mask?.artifact]];
    this.inputs.replaceChildren(...shown.filter(([, artifact]) => artifact).map(([name, artifact]) =>
      made("figure", {}, [made("img", { src: pictureAddress(artifact, 256), alt: name, loading: "lazy" }), made("figcaption", { textContent: name })])));
    for (const { candidate } of request.search?.start ?? []) if (candidate) {
      this.inputs.append(made("a", { href: `/searches/${candidate.search_id}/${candidate.candidate_id}`, data: { link: "" }, textContent: `begins from ${candidate.candidate_id}` }));
    }
  }

  /** Candidates from best to worst. */
  ranked() {
    return this.ranking ??= this.weighing.ranked();
  }

  #draw() {
    this.ranking = null;
    const { model } = this, ranked = this.ranked();
    if (model.prior && !this.priorShown) {
      this.priorShown = true;
      this.#drawInputs();
    }
    this.state.textContent = model.state;
    this.state.className = `state ${model.state}`;
    this.cancel.hidden = this.progress.hidden = !model.running;
    if (model.planned) this.progress.value = Math.min(1, model.spent / model.planned);
    const best = ranked[0], queue = model.search.queue_position;
    this.facts.textContent = model.state === "queued" && queue ? `${queue - 1} before it`
      : `${model.candidates.size} candidates${best ? `, best ${best.potential.value.toFixed(3)}` : ""}`;
    this.problem.hidden = !model.failed;
    if (model.failed) this.problem.textContent = model.failed.message;
    this.#drawGrid(ranked);
    searchPlot.draw(this.svg, {
      candidates: model.shown,
      values: new Map(ranked.map((entry) => [entry.one.id, entry.potential.value])),
      selected: this.selected || best?.one.id,
      select: (id) => this.show(id),
    });
    if (this.lastState && this.lastState !== model.state) announce(`The search has ${model.state}. ${this.facts.textContent}`);
    this.lastState = model.state;
    if (this.wanted && model.candidates.get(this.wanted)?.artifact) {
      const wanted = this.wanted;
      this.wanted = "";
      this.show(wanted);
    }
    this.viewer.refresh();
  }

  #drawGrid(ranked) {
    const order = [...ranked];
    const made_ = [...this.model.candidates.keys()], at = new Map(made_.map((id, index) => [id, index]));
    if (this.sort.value === "newest first") order.sort((left, right) => at.get(right.one.id) - at.get(left.one.id));
    if (this.sort.value === "order made") order.sort((left, right) => at.get(left.one.id) - at.get(right.one.id));
    const ranks = new Map(ranked.map((entry, index) => [entry.one.id, index + 1]));
    const nodes = order.map((entry) => this.#card(entry, ranks.get(entry.one.id)));
    if (!nodes.length) {
      const text = this.model.running ? "The first candidates are on their way." : "This search has made no candidates.";
      this.grid.replaceChildren(made("p", { className: "empty", textContent: text }));
      return;
    }
    nodes.forEach((node, index) => { if (this.grid.children[index] !== node) this.grid.insertBefore(node, this.grid.children[index] ?? null); });
    while (this.grid.children.length > nodes.length) this.grid.lastElementChild.remove();
  }

  #card({ one, potential }, rank) {
    let card = this.cards.get(one.id);
    if (!card) this.cards.set(one.id, card = this.#newCard(one));
    card.rank.textContent = `#${rank} ${one.id}`;
    card.potential.textContent = `${potential.complete ? "" : "≥ "}${potential.value.toFixed(3)}`;
    card.node.classList.toggle("below", potential.shortfall > 0);
    card.node.classList.toggle("best", rank === 1);
    card.open.setAttribute("aria-label", `Candidate ${one.id}, rank ${rank}, potential ${potential.value.toFixed(3)}${potential.shortfall > 0 ? ", below a floor" : ""}`);
    const picked = picks.has(this.id, one.id);
    card.pick.textContent = picked ? "★" : "☆";
    card.pick.setAttribute("aria-pressed", String(picked));
    return card.node;
  }

  #newCard(one) {
    const rank = made("span"), potential = made("span", { className: "number" });
    const open = made("button", { className: "picture", onclick: () => this.show(one.id) }, [made("img", { src: one.thumbnail || pictureAddress(one.artifact, 256), alt: "" })]);
    const pick = made("button", { className: "star", title: "Pick", aria: { label: `Pick ${one.id}` }, onclick: () => this.pick(one.id) });
    const mark = made("input", { type: "checkbox", aria: { label: `Mark ${one.id}` }, title: "Mark for more like these two" });
    mark.addEventListener("change", () => this.#mark(one.id, mark));
    const node = made("figure", { data: { id: one.id } }, [
      open, pick,
      made("figcaption", { className: "title" }, [made("label", { className: "row tight" }, [mark, rank]), potential]),
    ]);
    return { node, rank, potential, open, pick, mark };
  }

  #mark(id, box) {
    box.checked ? this.marked.add(id) : this.marked.delete(id);
    this.both.disabled = this.marked.size !== 2;
    this.both.textContent = this.marked.size > 2 ? "Mark two for more like these" : "More like these two";
  }

  /** Open a candidate large. @param {string} id */
  show(id) {
    this.selected = id;
    this.viewer.show(id);
    this.#schedule();
  }

  /** Pick a candidate, or remove its pick. @param {string} id */
  pick(id) {
    const one = this.model.candidates.get(id), entry = this.ranked().find((each) => each.one.id === id);
    const added = picks.toggle(pickOf(this.model, one, entry?.potential.value ?? null));
    announce(added ? `${id} is picked` : `${id} is not picked any more`);
    this.#schedule();
  }

  async #cancel() {
    this.cancel.disabled = true;
    try {
      await call(`/api/searches/${this.id}/cancel`, { method: "POST" });
    } catch (failure) {
      toast(failure.message, "error");
    }
    this.cancel.disabled = false;
  }
}
