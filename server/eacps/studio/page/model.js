// A search as its events tell it.

import { word } from "./dom.js";

/**
 * @typedef {{ id: string, generation: number, move: string, parents: string[], seeds: number[], recipe: any, spent: number,
 *   artifact: string, thumbnail: string, scores: Record<string, number>, missing: Record<string, string>,
 *   raw: Record<string, number>, saturated: string[], failure: string, message: any }} Candidate
 */

export class SearchModel {
  /** @param {any} search As the API describes it, with its request. */
  constructor(search) {
    this.search = search;
    this.started = null;
    this.prior = null;
    this.finished = null;
    this.failed = null;
    /** @type {Map<string, Candidate>} */
    this.candidates = new Map();
    this.sequence = 0;
    this.state = word(search.state, "SEARCH_STATE");
    this.steps = 0; // of all candidates so far
  }

  get running() {
    return this.state === "queued" || this.state === "running";
  }

  /** Candidates that can be shown and ranked, in order of arrival. */
  get shown() {
    return [...this.candidates.values()].filter((one) => one.artifact);
  }

  /** The same as the search proposed them, which is how it breaks ties; results arrive shuffled. */
  get inOrderOfProposal() {
    const { compare } = new Intl.Collator("en", { numeric: true });
    return this.shown.sort((left, right) => compare(left.id, right.id)); // an id is a generation and an index in it
  }

  /** Cost so far in whole trajectories. */
  get spent() {
    return this.started ? this.steps / this.started.steps : 0;
  }

  /** Cost that the search plans. */
  get planned() {
    return this.started?.planned_candidates ?? 0;
  }

  /** The scorers with their weights, as the search uses them. */
  get scorers() {
    return (this.started?.scorers ?? this.search.request.scorers ?? []).map((one) => ({
      name: one.name, weight: one.weight ?? 0, floor: one.floor ?? 0, heldOut: one.held_out ?? false, question: one.question ?? "",
    }));
  }

  /** Whether candidates that lack a weighted score are not ranked. */
  get dropsIncomplete() {
    return this.search.request.missing_scores === "MISSING_SCORES_DROP";
  }

  get method() {
    return word(this.search.request.scalarization ?? "SCALARIZATION_WEIGHTED_SUM", "SCALARIZATION").replaceAll(" ", "_");
  }

  /** Take the next event in; returns whether it is new. @param {any} event */
  add(event) {
    const sequence = Number(event.sequence);
    if (sequence <= this.sequence) return false;
    this.sequence = sequence;
    if (event.started) [this.started, this.state] = [event.started, "running"];
    else if (event.prior_ready) this.prior = event.prior_ready;
    else if (event.candidate_scored) this.#addCandidate(event.candidate_scored);
    else if (event.finished) [this.finished, this.state] = [event.finished, "succeeded"];
    else if (event.failed) [this.failed, this.state] = [event.failed, "failed"];
    else if (event.cancelled) this.state = "cancelled";
    return true;
  }

  #addCandidate(message) {
    this.steps += message.steps ?? 0;
    const scores = message.evaluation?.scores ?? [];
    const by = (field) => Object.fromEntries(scores.filter((one) => one[field] !== undefined).map((one) => [one.scorer, one[field]]));
    this.candidates.set(message.candidate_id, {
      id: message.candidate_id,
      generation: message.generation ?? 0,
      move: word(message.move ?? "MOVE_UNSPECIFIED", "MOVE"),
      parents: message.parents ?? [],
      recipe: message.recipe,
      seeds: message.recipe?.terms.map((term) => term.seed ?? 0) ?? [],
      spent: this.spent,
      artifact: message.evaluation && message.picture?.artifact ? message.picture.artifact : "",
      thumbnail: message.thumbnail?.data ? addressOf(message.thumbnail.data) : "",
      scores: by("value"),
      raw: by("raw"),
      missing: Object.fromEntries(scores.filter((one) => one.value === undefined).map((one) => [one.scorer, one.failure ?? ""])),
      saturated: scores.filter((one) => one.saturated).map((one) => one.scorer),
      failure: message.failure ?? "",
      message: { ...message, thumbnail: undefined },
    });
  }

  /** Give the memory of the thumbnails back. */
  release() {
    for (const one of this.candidates.values()) if (one.thumbnail) URL.revokeObjectURL(one.thumbnail);
  }
}

/** Address of an encoded picture in memory. @param {string} base64 */
function addressOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: bytes[0] === 0xff ? "image/jpeg" : "image/png" }));
}
