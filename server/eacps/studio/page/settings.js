// The settings of a search, made from what the server says it accepts. The one copy of a limit, the form of a
// question's short name, is held against the server's by a test.

import { made } from "./dom.js";
import { PictureList } from "./pictures.js";
import { METHODS } from "./weigh.js";

/** Words for people; what is not here is shown by its name in the API. */
const WORDS = {
  "search.random_seed": "Seed of the search", "search.first_seed": "Seed of the first candidate", "search.micro_batch": "Made together",
  "search.score_repeats": "Times a wavering scorer is asked", "sampler.steps": "Steps of each picture", "sampler.true_cfg_scale": "Guidance",
  "budget.denoiser_evaluations": "Most denoiser evaluations", "budget.pictures": "Most pictures", "budget.vlm_calls": "Most questions to judges",
  "budget.target_potential": "Stop at this potential", "budget.min_gain_per_trajectory": "Stop below this gain", priority: "Order in the queue (1 is first)",
  eacps_adaptive: "Adaptive (learns as it goes)", eacps: "EACPS (explore, then refine)", best_of_n: "Best of N (independent)",
};
const QUICK = [8, 16, 32, 64];
const FRAMINGS = [["", "automatic"], ["FRAMING_WHOLE", "whole scene"], ["FRAMING_FACE", "face, hair and shoulders"]];
const PRIORS = [["", "automatic"], ["swap", "swap the face in first"], ["none", "the scene as it is"], ["given", "a picture of mine"]];
const SCALARIZATIONS = METHODS.map(([name, text], index) => [index ? `SCALARIZATION_${name.toUpperCase()}` : "", text]);
const MISSING = [["", "count it as 0, and mark it"], ["MISSING_SCORES_DROP", "do not rank it"]];

const human = (name) => WORDS[name] ?? name.split(".").pop().replaceAll("_", " ").replace(/^./, (letter) => letter.toUpperCase());

export class SettingsForm {
  /** @param {any} offered What the server offers. @param {() => void} changed */
  constructor(offered, changed) {
    [this.offered, this.changed] = [offered, changed];
    this.ranges = new Map(offered.ranges.map((one) => [one.field, one]));
    /** @type {Map<string, any>} */
    this.numbers = new Map();
    /** What a request has that this form does not show. @type {any} */
    this.kept = {};
    /** Of scorers that a request names: all of their settings, by name. @type {Map<string, any>} */
    this.named = new Map();
    this.strategies = offered.strategies; // the default first
    this.#buildMain();
    this.#buildMore();
    this.#chooseStrategy();
  }

  #buildMain() {
    this.strategy = made("select", { id: "strategy" }, this.strategies.map((one) => new Option(human(one), one)));
    this.strategy.addEventListener("change", () => this.#chooseStrategy());
    this.size = made("input", { type: "number", id: "size", step: 1, inputMode: "numeric" });
    this.size.addEventListener("input", () => this.#mirrorSize());
    this.quick = made("div", { className: "segments", aria: { role: "group", label: "Usual sizes" } }, QUICK.map((number) =>
      made("button", { type: "button", textContent: String(number), onclick: () => { this.size.value = String(number); this.#mirrorSize(); } })));
    this.main = made("div", { className: "row budget" }, [made("label", { htmlFor: "size", textContent: "Candidates, about", title: "What so many whole pictures cost. Candidates that begin with another one cost less: there can be more of them." }), this.quick, this.size]);
  }

  #buildMore() {
    this.negative = made("input", { id: "negative", maxLength: this.offered.limits.prompt_characters, data: { field: "negative_prompt" } });
    this.framing = select("framing", FRAMINGS);
    this.prior = select("prior", PRIORS.filter(([value]) => value !== "swap" || this.offered.checkpoint.face_swap));
    this.given = new PictureList("prior.given", "The picture to begin from", "Of the size of the scene, made with any tool.", 1, this.changed);
    this.given.box.hidden = true;
    this.prior.addEventListener("change", () => this.#showPrior());
    this.scalarization = select("scalarization", SCALARIZATIONS);
    this.missingScores = select("missing-scores", MISSING);
    this.seconds = made("input", { type: "number", id: "seconds", min: 1, step: 1, placeholder: "no bound", data: { field: "budget.wall_time" } });
    this.labels = made("input", { id: "labels", placeholder: "shot=12a, batch=scene4", spellcheck: false, data: { field: "labels" } });
    this.labels.addEventListener("input", () => this.changed());
    const { limits, checkpoint } = this.offered;
    this.people = new PictureList("more_characters", "More pictures of the person", "Their mean face is what is swapped in and scored.", limits.more_characters);
    this.references = new PictureList("references", "Pictures for the model to see", "The prompt can call the first one “Picture 3”: the prior and the person come before it.", Math.max(0, checkpoint.max_pictures - 2));
    this.ofStrategy = made("div", { className: "fields" });
    const general = [...this.ranges.keys()].filter((one) => /^(sampler|budget)\.\w+$|^search\.\w+$|^priority$/.test(one));
    this.more = made("details", { className: "card more" }, [
      made("summary", {}, [made("h2", { textContent: "More settings" })]),
      made("h3", { textContent: "What counts" }),
      made("p", { className: "faint", textContent: "Weights of the scorers, and floors that a candidate should not fall below." }),
      this.scorers = made("div", { className: "fields" }, this.offered.scorers.map((one) => this.#scorer(one))),
      made("div", { className: "fields" }, [field("scalarization", "Put together by", this.scalarization), field("missing-scores", "If a score is missing", this.missingScores)]),
      ...this.#questions(),
      made("h3", { textContent: "The edit" }),
      made("div", { className: "fields" }, [field("negative", "What to avoid (with guidance above 1)", this.negative), field("framing", "Part that is edited", this.framing), field("prior", "The face beforehand", this.prior), field("labels", "Labels", this.labels)]),
      this.given.box,
      made("h3", { textContent: "Further pictures" }),
      this.people.box, ...(checkpoint.max_pictures > 2 ? [this.references.box] : []),
      made("h3", { textContent: "The search" }),
      made("div", { className: "fields" }, [field("strategy", "Strategy", this.strategy), field("seconds", "Most seconds", this.seconds), ...general.map((one) => this.#number(one))]),
      this.ofStrategy,
      this.rest = made("p", { className: "row", hidden: true }),
    ]);
  }

  #showPrior() {
    this.given.box.hidden = this.prior.value !== "given";
    this.changed();
  }

  #labels() {
    return this.labels.value.split(",").map((one) => one.trim()).filter(Boolean);
  }

  /** What a request still lacks; empty if nothing. */
  get missing() {
    if (this.#labels().some((one) => !/^[^=]+=/.test(one))) return "labels as KEY=VALUE";
    return this.prior.value === "given" && !this.given.images.length ? "the picture to begin from" : "";
  }

  /** Say what else the search before has asked for. */
  #showRest() {
    const { search = {}, sampler = {} } = this.kept;
    const names = [...Object.entries(search), ...Object.entries(sampler)].flatMap(([name, value]) => this.strategies.includes(name) ? Object.keys(value) : [name]);
    this.rest.hidden = !names.length;
    this.rest.replaceChildren(
      made("span", { className: "faint grow", textContent: `As in the search before: ${names.map((one) => one.replaceAll("_", " ")).join(", ")}.` }),
      made("button", { type: "button", textContent: "Leave out", onclick: () => { this.kept = {}; this.#showRest(); } }));
  }

  #scorer({ name, default_weight: weight = 0, reported_by_default: reported }) {
    const input = (what, value, step) => made("input", { type: "number", min: 0, max: 1, step, value, data: { [what]: name, initial: String(value) }, aria: { label: `${what} of ${name}` } });
    return made("div", { className: "scorer-row" }, [
      made("span", { className: "grow", textContent: name + (reported ? " (reported)" : "") }),
      made("label", {}, ["weight ", input("weight", weight, 0.05)]),
      made("label", {}, ["floor ", input("floor", 0, 0.05)]),
    ]);
  }

  #questions() {
    if (!this.offered.judges?.length) return [];
    this.questions = made("div", { className: "fields" });
    const add = made("button", { type: "button", textContent: "Ask a question of your own", onclick: () => this.addQuestion() });
    return [this.questions, add];
  }

  /** Add a row for a yes/no question about every picture. */
  addQuestion({ name = "", question = "", weight = 0.2, floor = 0 } = {}) {
    const [judge, label] = name.split(".");
    const row = made("div", { className: "question card" }, [
      made("input", { className: "text", value: question, maxLength: this.offered.limits.question_characters, placeholder: "Is the person wearing a hat?", aria: { label: "Yes/no question, where yes is good" } }),
      made("div", { className: "row" }, [
        made("label", {}, ["asked of ", made("select", { className: "judge" }, this.offered.judges.map((one) => new Option(one, one, false, one === judge)))]),
        made("label", {}, ["short name ", made("input", { className: "label", value: label ?? "", size: 10, pattern: "[a-z0-9_]{1,32}", placeholder: "hat" })]),
        made("label", {}, ["weight ", made("input", { className: "weight", type: "number", min: 0, max: 1, step: 0.05, value: weight })]),
        made("label", {}, ["floor ", made("input", { className: "floor", type: "number", min: 0, max: 1, step: 0.05, value: floor })]),
        made("button", { type: "button", className: "quiet", textContent: "Remove", onclick: () => row.remove() }),
      ]),
    ]);
    this.questions.append(row);
    row.querySelector("input").focus();
  }

  #number(path) {
    const { least = 0, most, default_value: usual, above_least: above } = this.ranges.get(path);
    const whole = Number.isInteger(least) && Number.isInteger(most) && most > 1;
    const shown = most < 1e6 ? `${above ? "above " : ""}${short(least)} to ${short(most)}` : `from ${short(least)}`;
    const input = made("input", { type: "number", id: path, min: least, max: most, step: whole && !path.includes("scale") ? 1 : "any", placeholder: usual !== undefined ? short(usual) : path.startsWith("budget.") ? "no bound" : "automatic", data: { field: path }, title: shown });
    this.numbers.set(path, input);
    return field(path, human(path), input);
  }

  /** Path of the number that says how large a search is. */
  get sizePath() {
    return [`search.${this.strategy.value}.trajectories`, `search.${this.strategy.value}.global_candidates`].find((one) => this.ranges.has(one));
  }

  #chooseStrategy() {
    const prefix = `search.${this.strategy.value}.`;
    for (const path of [...this.numbers.keys()]) if (/^search\.\w+\.\w+/.test(path)) this.numbers.delete(path);
    this.ofStrategy.replaceChildren(...[...this.ranges.keys()].filter((one) => one.startsWith(prefix) && one !== this.sizePath).map((one) => this.#number(one)));
    const range = this.ranges.get(this.sizePath);
    Object.assign(this.size, { min: range.least, max: range.most, value: String(range.default_value ?? range.least) });
    this.size.dataset.field = this.sizePath;
    this.#mirrorSize();
  }

  #mirrorSize() {
    [...this.quick.children].forEach((one) => one.setAttribute("aria-pressed", String(one.textContent === this.size.value)));
  }

  /** The part of a request that these settings are. */
  request() {
    const request = structuredClone(this.kept);
    for (const [path, input] of [...this.numbers, [this.sizePath, this.size]]) if (input.value !== "") put(request, path, Number(input.value));
    request.search ??= {};
    request.search[this.strategy.value] ??= {};
    for (const other of this.strategies) if (other !== this.strategy.value) delete request.search[other];
    if (this.negative.value) request.negative_prompt = this.negative.value;
    if (this.framing.value) request.framing = this.framing.value;
    if (this.prior.value) request.prior = { [this.prior.value]: this.prior.value === "given" ? this.given.images[0] : {} };
    if (this.scalarization.value) request.scalarization = this.scalarization.value;
    if (this.missingScores.value) request.missing_scores = this.missingScores.value;
    if (this.seconds.value) (request.budget ??= {}).wall_time = `${Number(this.seconds.value)}s`;
    const labels = this.#labels().map((one) => one.split("="));
    if (labels.length) request.labels = Object.fromEntries(labels.map(([key, ...rest]) => [key.trim(), rest.join("=").trim()]));
    if (this.people.images.length) request.more_characters = this.people.images;
    if (this.references.images.length) request.references = this.references.images;
    const scorers = this.#asked();
    if (scorers.length) request.scorers = scorers;
    return request;
  }

  /** The scorers that a request names: none if nothing was changed, so that the server's own weights count. */
  #asked() {
    const inputs = [...this.scorers.querySelectorAll("input")];
    const rows = [...(this.questions?.children ?? [])];
    const shown = new Set(this.offered.scorers.map((one) => one.name));
    const others = [...this.named.values()].filter((one) => !shown.has(one.name) && !(one.question && this.questions)); // the server says if it has them no more
    const heldOut = (name) => this.named.get(name)?.held_out;
    if (!rows.length && !others.length && inputs.every((one) => Number(one.value) === Number(one.dataset.initial)) && ![...shown].some(heldOut)) return [];
    const value = (what, name) => Number(inputs.find((one) => one.dataset[what] === name).value);
    const own = this.offered.scorers.map(({ name }) => ({ name, weight: value("weight", name), floor: value("floor", name) || undefined, held_out: heldOut(name) })).filter((one) => one.weight > 0 || one.floor || one.held_out);
    const questions = rows.map((row) => {
      const name = `${row.querySelector(".judge").value}.${row.querySelector(".label").value.trim()}`;
      return { name, question: row.querySelector(".text").value.trim(), weight: Number(row.querySelector(".weight").value), floor: Number(row.querySelector(".floor").value) || undefined, held_out: heldOut(name) };
    });
    return [...own, ...questions, ...others];
  }

  /** Take over a request. @param {any} request */
  fill(request) {
    const strategy = this.strategies.find((one) => request.search?.[one]) ?? this.strategies[0];
    this.strategy.value = strategy;
    this.#chooseStrategy();
    this.kept = keptOf(request);
    for (const [path, value] of Object.entries(flattened(this.kept))) {
      const input = path === this.sizePath ? this.size : this.numbers.get(path);
      if (!input) continue;
      if (!/^search\.(random|first)_seed$/.test(path)) input.value = String(value); // another search of the same: other noise
      drop(this.kept, path);
    }
    this.#showRest();
    this.#mirrorSize();
    this.negative.value = request.negative_prompt ?? "";
    this.framing.value = request.framing && request.framing !== "FRAMING_AUTO" ? request.framing : "";
    this.prior.value = PRIORS.map(([name]) => name).find((name) => request.prior?.[name]) ?? "";
    this.given.set(request.prior?.given ? [request.prior.given] : []);
    this.#showPrior();
    const chosen = (choices, name) => choices.some(([known]) => known === name) ? name : "";
    this.scalarization.value = chosen(SCALARIZATIONS, request.scalarization);
    this.missingScores.value = chosen(MISSING, request.missing_scores);
    this.seconds.value = request.budget?.wall_time ? String(parseFloat(request.budget.wall_time)) : "";
    this.labels.value = Object.entries(request.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ");
    this.people.set(request.more_characters ?? []);
    this.references.set(request.references ?? []);
    this.named = new Map((request.scorers ?? []).map((one) => [one.name, one]));
    const weighted = [...this.named.values()].some((one) => one.weight > 0); // then what is not named does not count, else the server's weights do
    if (weighted) this.scorers.querySelectorAll("[data-weight]").forEach((one) => { one.value = "0"; });
    for (const one of request.scorers ?? []) {
      if (one.question && this.questions) this.addQuestion(one);
      for (const what of weighted ? ["weight", "floor"] : ["floor"]) {
        const input = this.scorers.querySelector(`[data-${what}="${CSS.escape(one.name)}"]`);
        if (input) input.value = String(one[what] ?? 0);
      }
    }
  }
}

/** The parts of a request that are neither fields of the form with a name of their own, nor of that one search. @param {any} request */
function keptOf(request) {
  const { sampler = {}, budget = {}, search: { start: _, ...search } = {}, priority, detach } = structuredClone(request);
  delete budget.wall_time;
  return { sampler, budget, search, ...(priority === undefined ? {} : { priority }), ...(detach ? { detach } : {}) };
}

const short = (number) => String(Number(number.toPrecision(4)));

function field(id, text, input) {
  return made("div", { className: "field" }, [made("label", { htmlFor: id, textContent: text }), input]);
}

function select(id, choices) {
  return made("select", { id }, choices.map(([value, text]) => new Option(text, value)));
}

/** Set `a.b.c` of an object. */
function put(object, path, value) {
  const names = path.split("."), last = names.pop();
  for (const name of names) object = object[name] ??= {};
  object[last] = value;
}

/** Remove `a.b.c` of an object, and what is empty then. */
function drop(object, path) {
  const [name, ...rest] = path.split(".");
  if (rest.length) drop(object[name], rest.join("."));
  if (!rest.length || !Object.keys(object[name]).length) delete object[name];
}

/** Numbers of an object by their paths. */
function flattened(object, prefix = "") {
  return Object.fromEntries(Object.entries(object).flatMap(([name, value]) =>
    value && typeof value === "object" && !Array.isArray(value) ? Object.entries(flattened(value, `${prefix}${name}.`))
      : typeof value === "number" || /^\d+$/.test(value) ? [[prefix + name, value]] : []));
}
