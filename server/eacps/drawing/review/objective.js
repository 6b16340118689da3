"use strict";
// The arithmetic of eacps.search.objective; a test holds the two against each other.
const objective = {
  normalized(weights) {
    const names = Object.keys(weights).filter((name) => weights[name] > 0).sort();
    const largest = Math.max(...names.map((name) => weights[name]));
    const scaled = names.map((name) => weights[name] / largest);
    const total = scaled.reduce((sum, one) => sum + one, 0);
    return Object.fromEntries(names.map((name, index) => [name, scaled[index] / total]));
  },
  // A missing score counts as 0, the least it can be; null where not one weighted scorer has answered.
  potential(scores, weights, floors, method) {
    const names = Object.keys(weights);
    if (!names.some((name) => name in scores)) return null;
    const known = (name) => scores[name] ?? 0;
    const value = method === "geometric_mean"
      ? names.reduce((product, name) => product * known(name) ** weights[name], 1)
      : names.reduce((sum, name) => sum + weights[name] * known(name), 0);
    const gaps = names.filter((name) => floors[name] > 0).map((name) => floors[name] - known(name));
    return {
      value: Math.min(value, 1),
      complete: names.every((name) => name in scores),
      shortfall: Math.max(0, ...gaps),
    };
  },
  // Share of candidates that are no better, ties counted half, weighted over scorers.
  rankSums(cards, weights) {
    return cards.map((card) => Object.entries(weights).reduce((sum, [name, weight]) => {
      const own = card[name] ?? 0, all = cards.map((one) => one[name] ?? 0);
      const below = all.filter((one) => one < own).length, upTo = all.filter((one) => one <= own).length;
      return sum + weight * (below + upTo) / (2 * all.length);
    }, 0));
  },
  // Candidates come in order of proposal, and ties stay in it. Those that lack a weighted score may be left out.
  rank(candidates, rawWeights, floors, method, dropsIncomplete = false) {
    const weights = objective.normalized(rawWeights);
    const rated = candidates
      .map((one) => ({ one, potential: objective.potential(one.scores, weights, floors, method) }))
      .filter((entry) => entry.potential?.complete || (entry.potential && !dropsIncomplete));
    const sums = method === "rank_sum" ? objective.rankSums(rated.map((entry) => entry.one.scores), weights) : null;
    rated.forEach((entry, index) => {
      const value = sums ? sums[index] : entry.potential.value;
      entry.utility = entry.potential.shortfall > 0 ? -entry.potential.shortfall : value;
    });
    return rated.sort((left, right) => right.utility - left.utility); // stable
  },
};
