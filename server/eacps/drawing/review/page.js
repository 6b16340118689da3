"use strict";
const searches = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const picks = new Map(); // "search candidate" -> potential when it was picked
let search, weights, floors, method, sortBy, ranked, sides, selected;

function made(tag, properties = {}, children = []) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function open(index) {
  search = searches[index];
  element("prompt").textContent = `“${search.prompt}”`;
  const name = search.shot ? `${search.shot}: ` : "";
  element("facts").textContent =
    `${name}search ${search.id}, ${search.state}; ${search.candidates.length} candidates of ${search.steps} steps on ` +
    `${search.checkpoint}`;
  const best = search.best ?? search.candidates[0]?.id;
  sides = { a: best, b: "scene" };
  selected = best;
  element("sort").replaceChildren(
    ...["potential", ...search.scorers.map((one) => one.name), "order made"].map((word) => new Option(word, word)));
  sortBy = "potential";
  asInSearch();
}

function asInSearch() {
  weights = Object.fromEntries(search.scorers.map((one) => [one.name, one.weight]));
  floors = Object.fromEntries(search.scorers.map((one) => [one.name, one.floor ?? 0]));
  method = search.method;
  element("method").value = method;
  showScorers();
  update();
}

function showScorers() {
  element("scorers").replaceChildren(...search.scorers.map((one) => {
    const known = search.candidates.map((each) => each.scores[one.name]).filter((value) => value !== undefined);
    const full = search.candidates.filter((each) => each.saturated.includes(one.name)).length;
    const box = made("div", { className: "scorer" }, [made("b", { textContent: one.name })]);
    if (one.question) box.append(made("p", { className: "faint", textContent: one.question }));
    if (one.held_out) box.append(made("p", { className: "faint", textContent: "held out: not searched" }));
    if (full > 0) {
      const text = `saturated in ${full} of ${known.length} candidates: it does not tell these apart`;
      box.append(made("p", { className: "warning", textContent: text }));
    }
    box.append(slider("weight", one.name, weights), slider("floor", one.name, floors));
    return box;
  }));
}

function slider(word, name, values) {
  const shown = made("output", { textContent: values[name].toFixed(2) });
  const input = made("input", { type: "range", min: 0, max: 1, step: 0.01, value: values[name] });
  input.dataset[word] = name;
  input.addEventListener("input", () => {
    values[name] = Number(input.value);
    shown.textContent = values[name].toFixed(2);
    update();
  });
  return made("label", {}, [word, input, shown]);
}

function update() {
  if (Object.values(weights).some((weight) => weight > 0)) {
    ranked = objective.rank(search.candidates, weights, floors, method, search.drops_incomplete);
  }
  showInputs();
  showGrid();
  showCompared();
  showPlot();
  showPicks();
  const flags = Object.entries(objective.normalized(weights)).map(([name, weight]) => `--weight ${name}=${+weight.toFixed(3)}`);
  flags.push(...Object.entries(floors).filter(([, floor]) => floor > 0).map(([name, floor]) => `--floor ${name}=${floor}`));
  if (method !== "weighted_sum") flags.push(`--scalarization ${method.replace("_", "-")}`);
  element("command").textContent = `eacps rank ${search.id} ${flags.join(" ")}`;
}

function pictureOf(name) {
  return search.pictures[name] ?? search.candidates.find((one) => one.id === name)?.picture ?? "";
}

function sideButtons(name) {
  return ["a", "b"].map((side) => {
    const button = made("button", { textContent: side.toUpperCase(), title: `compare as ${side.toUpperCase()}` });
    button.classList.toggle("on", sides[side] === name);
    button.dataset[side] = name;
    button.addEventListener("click", () => { sides[side] = name; if (!(name in search.pictures)) selected = name; update(); });
    return button;
  });
}

function showInputs() {
  element("inputs").replaceChildren(...Object.keys(search.pictures).map((name) => made("figure", {}, [
    made("img", { src: search.pictures[name], alt: name }),
    made("div", { className: "buttons" }, sideButtons(name)),
    made("figcaption", { className: "title" }, [made("span", { textContent: search.titles[name] ?? name })]),
  ])));
}

function showGrid() {
  const family = new Set(searchPlot.ancestors(search.candidates, selected));
  const ranks = new Map(ranked.map((entry, index) => [entry.one.id, index + 1]));
  const order = new Map(search.candidates.map((one, index) => [one.id, index]));
  const shown = [...ranked];
  if (sortBy === "order made") shown.sort((left, right) => order.get(left.one.id) - order.get(right.one.id));
  else if (sortBy !== "potential") shown.sort((left, right) => (right.one.scores[sortBy] ?? -1) - (left.one.scores[sortBy] ?? -1));
  element("grid").replaceChildren(...shown.map(({ one, potential }) => {
    const key = `${search.id} ${one.id}`;
    const pick = made("button", { textContent: picks.has(key) ? "★" : "☆", title: "pick" });
    pick.classList.toggle("on", picks.has(key));
    pick.dataset.pick = one.id;
    pick.addEventListener("click", () => {
      if (!picks.delete(key)) picks.set(key, { search, one });
      update();
    });
    const bound = potential.complete ? "" : "≥ ";
    const figure = made("figure", {}, [
      made("img", { src: one.picture, alt: one.id }),
      made("div", { className: "buttons" }, [...sideButtons(one.id), pick]),
      made("figcaption", {}, [
        made("div", { className: "title" }, [
          made("span", { textContent: `#${ranks.get(one.id)}  ${one.id}` }),
          made("span", { textContent: bound + potential.value.toFixed(3) }),
        ]),
        ...search.scorers.map((scorer) => bar(scorer.name, one)),
        made("p", { className: "descent", textContent: searchPlot.descent(one) + (potential.shortfall > 0 ? "; below a floor" : "") }),
      ]),
    ]);
    figure.dataset.id = one.id;
    figure.classList.toggle("lineage", family.has(one.id));
    figure.classList.toggle("below", potential.shortfall > 0);
    return figure;
  }));
}

function bar(name, one) {
  const value = one.scores[name], line = made("i");
  line.style.setProperty("--value", value ?? 0);
  const end = one.saturated.includes(name);
  const text = value === undefined ? "none" : value.toFixed(2) + (end ? " sat." : "");
  const box = made("div", { className: end ? "bar end" : "bar" }, [
    made("span", { textContent: name, title: name }), line, made("output", { textContent: text })]);
  if (value === undefined) box.title = one.missing[name] ?? "not scored";
  else if (end) box.title = `saturated: at the upper end of its scale; raw ${one.raw[name]}`;
  return box;
}

function showCompared() {
  for (const [side, image] of [["a", "over"], ["b", "under"]]) {
    element(image).src = pictureOf(sides[side]);
    element(`${side}-name`).textContent = `${side.toUpperCase()}  ${sides[side]}`;
  }
  const line = searchPlot.ancestors(search.candidates, selected), children = search.candidates.filter((one) => one.parents.includes(selected));
  const born = children.length ? `; parent of ${children.map((one) => one.id).join(", ")}` : "";
  element("lineage").textContent = line.length ? `lineage: ${line.join(" ← ")}${born}` : "";
}

function showPlot() {
  searchPlot.draw(element("plot"), {
    candidates: search.candidates,
    values: new Map(ranked.map((entry) => [entry.one.id, entry.potential.value])),
    selected,
    select: (id) => { sides.a = selected = id; update(); },
  });
}

function showPicks() {
  const names = [...picks.values()].map((pick) => pick.one.id);
  element("picked").textContent = names.length ? `${names.length}: ${names.join(", ")}` : "none; ☆ on a candidate picks it";
  element("download").disabled = !names.length;
}

function pickList() {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const lines = [...picks.values()].map(({ search: from, one }) =>
    [from.shot, from.id, one.id, one.artifact, one.seeds.join(" ")].map(quoted).join(","));
  return ["shot,search,candidate,artifact,seeds", ...lines].join("\n") + "\n";
}

element("search").replaceChildren(...searches.map((one, index) => new Option(one.shot || one.prompt, index)));
element("search").hidden = searches.length < 2;
element("search").addEventListener("change", (event) => open(Number(event.target.value)));
element("method").addEventListener("change", (event) => { method = event.target.value; update(); });
element("sort").addEventListener("change", (event) => { sortBy = event.target.value; update(); });
element("reset").addEventListener("click", asInSearch);
element("split").addEventListener("input", (event) => {
  element("compare").style.setProperty("--split", `${event.target.value}%`);
});
element("download").addEventListener("click", () => {
  const link = made("a", { href: URL.createObjectURL(new Blob([pickList()], { type: "text/csv" })), download: "picks.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
});
open(0);
