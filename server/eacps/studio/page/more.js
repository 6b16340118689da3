// "More like this one": a new search that begins from candidates of another.

import { call } from "./api.js";
import { announce, toast } from "./dom.js";

/** A name for a request, so that sending it again makes no second search. */
export function requestId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

/**
 * Start a search like another one, around some of its candidates, and go there.
 * @param {any} page The page of the other search.
 * @param {string[]} candidates
 */
export async function more(page, candidates) {
  try {
    const search = await call("/api/searches", { method: "POST", body: requestLike(page.model.search, candidates) });
    announce(`A search for more like ${candidates.join(" and ")} has begun.`);
    page.viewer.close();
    await page.context.go(`/searches/${search.search_id}`);
  } catch (failure) {
    toast(failure.message, "error");
  }
}

/** The request of a search around candidates of another: the same edit, with fresh randomness. */
export function requestLike(search, candidates) {
  const { request_id: _, ...request } = structuredClone(search.request);
  const { random_seed: _seed, first_seed: _first, start: _start, eacps_adaptive, best_of_n, eacps: _eacps, ...others } = request.search ?? {};
  const trajectories = eacps_adaptive?.trajectories ?? best_of_n?.trajectories;
  const start = candidates.map((id) => ({ candidate: { search_id: search.search_id, candidate_id: id } }));
  // Only this strategy accepts points to begin from.
  const strategy = { eacps_adaptive: eacps_adaptive ?? (trajectories && trajectories > start.length ? { trajectories } : {}) };
  return { ...request, search: { ...others, ...strategy, start }, request_id: requestId(), labels: search.labels ?? {} };
}
