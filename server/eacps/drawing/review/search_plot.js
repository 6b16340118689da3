"use strict";
// What the review page and the studio share about the progress of a search: who descends from whom, and the plot of it.
const searchPlot = {
  // Ids from a candidate back to its first ancestors, the candidate first.
  ancestors(candidates, id) {
    const known = new Map(candidates.map((one) => [one.id, one])), found = [], open = [id];
    while (open.length) {
      const next = open.shift();
      if (!known.has(next) || found.includes(next)) continue;
      found.push(next);
      open.push(...known.get(next).parents);
    }
    return found;
  },
  // How the noise of a candidate was chosen, in words.
  descent(one) {
    if (one.move === "start") return "start point";
    return one.parents.length ? `${one.move.replace("_", " ")} from ${one.parents.join(" and ")}` : `seed ${one.seeds[0]}`;
  },
  // Draws potential by cost into an SVG element of 300 by 190 units. `values`: potential by id; `select` is called with
  // the id of a candidate that is clicked. Colors are those of the classes in the style sheet of the page.
  draw(svg, { candidates, values, selected, select }) {
    const node = (tag, attributes, text) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      if (text !== undefined) made.textContent = text;
      return made;
    };
    const shown = candidates.filter((one) => values.has(one.id));
    const most = Math.max(1, ...shown.map((one) => one.spent));
    const low = Math.min(1, ...values.values()), high = Math.max(0, ...values.values()), room = 0.05 * (high - low) || 0.05;
    const x = (one) => 30 + 262 * one.spent / most;
    const y = (value) => 168 - 156 * (value - low + room) / (high - low + 2 * room);
    const parts = !shown.length ? [] : [low, high].map((value) => node("text", { x: 2, y: y(value) + 3 }, value.toFixed(2)));
    parts.push(node("text", { x: 276, y: 184 }, String(Math.round(most))));
    const known = new Map(shown.map((one) => [one.id, one])), family = new Set(searchPlot.ancestors(candidates, selected));
    for (const one of shown) for (const parent of one.parents) if (known.has(parent)) {
      const inFamily = family.has(one.id) && family.has(parent);
      parts.push(node("line", { x1: x(known.get(parent)), y1: y(values.get(parent)), x2: x(one), y2: y(values.get(one.id)),
        class: inFamily ? "plot-line family" : "plot-line" }));
    }
    let best = -1, path = "";
    for (const one of shown) {
      const value = values.get(one.id);
      if (path) path += `H${x(one)}`;
      if (value > best) { best = value; path += path ? `V${y(value)}` : `M${x(one)} ${y(value)}`; }
    }
    parts.push(node("path", { d: path, class: "plot-best" }));
    for (const one of shown) {
      const dot = node("circle", { cx: x(one), cy: y(values.get(one.id)), r: one.id === selected ? 5 : 3,
        class: one.parents.length ? "plot-dot child" : "plot-dot" });
      dot.append(node("title", {}, `${one.id} ${values.get(one.id).toFixed(3)}`));
      dot.addEventListener("click", () => select(one.id));
      parts.push(dot);
    }
    svg.replaceChildren(...parts);
  },
};
