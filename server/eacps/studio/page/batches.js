// Batches: the searches that share a label `batch`, one for each shot of a list.

import { call, upload, wordsOfUpload } from "./api.js";
import { announce, made, toast } from "./dom.js";
import { moment, stateOf } from "./history.js";
import { rowsOf } from "./table.js";

const REFRESH_MS = 2500, FULL_PAUSE_MS = 3000;
const NEWEST = 1000, FURTHER = 10000;
const OPEN = ["queued", "running"], AGAIN = ["failed", "cancelled"];
const PICTURES = ["scene", "character", "mask"], COLUMNS = [...PICTURES, "shot", "prompt", "negative_prompt", "trajectories", "priority"];

export async function batchesView({ root, go }) {
  const name = made("input", { id: "batch-name", required: true, pattern: "[^\\/=,]+", size: 16, placeholder: "scene4" });
  const list = made("input", { type: "file", id: "batch-list", accept: ".csv,.jsonl,.ndjson", required: true });
  const files = made("input", { type: "file", id: "batch-pictures", accept: "image/*,.exr,.tif", multiple: true, required: true });
  const start = made("button", { className: "primary", textContent: "Start the batch" });
  const progress = made("p", { className: "faint", aria: { role: "status" } }), errors = made("ul", { className: "error", aria: { role: "alert" } });
  const form = made("form", { className: "card batch-form" }, [
    made("h2", { textContent: "New batch" }),
    made("p", { className: "faint", textContent: `A list of shots as CSV or JSON lines, as for eacps batch. Columns: ${COLUMNS.join(", ")} and label.KEY; pictures by the names of the files chosen here.` }),
    made("div", { className: "fields" }, [["batch-name", "Name", name], ["batch-list", "List of shots", list], ["batch-pictures", "Pictures", files]].map(([id, text, input]) =>
      made("div", { className: "field" }, [made("label", { htmlFor: id, textContent: text }), input]))),
    made("div", { className: "row" }, [start, progress]), errors,
  ]);
  const stay = (event) => event.preventDefault(); // asks before the page is closed
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    errors.replaceChildren();
    addEventListener("beforeunload", stay);
    try {
      const shots = shotsOf(rowsOf(await list.files[0].text(), list.files[0].name), [...files.files]);
      const failed = await submitted(name.value.trim(), shots, (text) => { progress.textContent = text; });
      const page = `/batches/${encodeURIComponent(name.value.trim())}`;
      if (failed.length) {
        errors.replaceChildren(...failed.map((text) => made("li", { textContent: text })),
          made("li", {}, [made("a", { href: page, data: { link: "" }, textContent: "Open the batch with the others." })]));
      } else if (form.isConnected) await go(page);
      else toast(`All shots of ${name.value.trim()} are submitted.`);
    } catch (failure) {
      errors.replaceChildren(...failure.message.split("\n").map((text) => made("li", { textContent: text })));
    } finally {
      removeEventListener("beforeunload", stay);
      start.disabled = false;
    }
  });
  const known = made("div", { className: "batches" }), further = made("button", { textContent: "Look further back", onclick: () => showBatches(FURTHER) });
  root.append(made("h1", { textContent: "Batches" }), form, known, further);
  async function showBatches(limit) {
    const { searches, more } = await call(`/api/searches?limit=${limit}`);
    further.hidden = !more || limit === FURTHER;
    known.replaceChildren(...groups(searches));
  }
  await showBatches(NEWEST);
}

/** A link to each batch of some searches. */
function groups(searches) {
  const batches = Map.groupBy(searches.filter((one) => one.labels?.batch), (one) => one.labels.batch);
  return [...batches].map(([batch, all]) => made("a", { className: "card batch", href: `/batches/${encodeURIComponent(batch)}`, data: { link: "" } }, [
    made("b", { textContent: batch }), bar(latest(all)), made("span", { className: "faint", textContent: moment(all.at(-1).create_time) })]));
}

/** The newest search of each shot, in the order in which they were first asked for. */
function latest(searches) {
  const shots = new Map();
  for (const one of [...searches].reverse()) shots.set(one.labels?.shot || one.search_id, one); // the list is newest first
  return [...shots.values()];
}

function bar(searches) {
  const count = (...states) => searches.filter((one) => states.includes(stateOf(one))).length;
  const parts = [["succeeded", count("succeeded")], ["running", count("running")], ["queued", count("queued")], ["failed", count(...AGAIN)]].filter(([, number]) => number);
  const line = made("span", { className: "batch-bar", aria: { hidden: "true" } }, parts.map(([state, number]) => {
    const part = made("i", { className: state });
    part.style.flexGrow = String(number);
    return part;
  }));
  return made("span", { className: "grow" }, [line, made("span", { className: "faint", textContent: parts.map(([state, number]) => `${number} ${state === "failed" ? "failed or cancelled" : state}`).join(", ") })]);
}

/** Rows as shots with their files; all errors together. */
function shotsOf(rows, files) {
  const byName = new Map(files.map((file) => [file.name, file])), errors = [], seen = new Set();
  const shots = rows.map((row, index) => {
    const given = Object.fromEntries(Object.entries(row).filter(([, value]) => value !== "" && value !== null).map(([key, value]) => [key.startsWith("label.") ? key : key.replaceAll("-", "_"), String(value)]));
    const fault = (text) => errors.push(`Row ${index + 1} ${text}.`);
    for (const column of Object.keys(given)) if (!COLUMNS.includes(column) && !column.startsWith("label.")) fault(`has the column ${column}, which only eacps batch reads`);
    for (const column of ["scene", "character", "prompt"]) if (!given[column]) fault(`lacks ${column}`);
    const pictures = {};
    for (const column of PICTURES) if (given[column]) {
      pictures[column] = byName.get(given[column].split("/").pop());
      if (!pictures[column]) fault(`names ${given[column]}, which was not chosen`);
    }
    const shot = given.shot ?? (given.scene ?? "").split("/").pop().replace(/\.\w+$/, "");
    if (seen.has(shot)) fault(`is another shot called ${shot}`);
    seen.add(shot);
    return { shot, given, pictures };
  });
  if (!rows.length) errors.push("The list has no shots.");
  if (errors.length) throw new Error(errors.join("\n"));
  return shots;
}

/** Upload the pictures and create the searches; returns what went wrong, by shot. */
async function submitted(batch, shots, report) {
  const uploads = new Map(), failed = [];
  const image = async (file) => {
    if (!uploads.has(file)) {
      try {
        uploads.set(file, (await upload(file)).artifact);
      } catch (failure) {
        throw failure.temporary ? failure : new Error(wordsOfUpload(failure, file.name));
      }
    }
    return { artifact: uploads.get(file) };
  };
  for (const [index, { shot, given, pictures }] of shots.entries()) {
    report(`${index} of ${shots.length} shots are submitted; keep this page open until all are.`);
    try {
      const own = Object.entries(given).filter(([key]) => key.startsWith("label.")).map(([key, value]) => [key.slice(6), value]);
      const request = { prompt: given.prompt, negative_prompt: given.negative_prompt, labels: { ...Object.fromEntries(own), batch, shot }, request_id: encodeURIComponent(`studio.${batch}.${shot}`) };
      for (const [name, file] of Object.entries(pictures)) request[name] = await image(file);
      if (given.trajectories) request.search = { eacps_adaptive: { trajectories: Number(given.trajectories) } };
      if (given.priority) request.priority = Number(given.priority);
      await createWithPatience(request);
    } catch (failure) {
      const text = failure.violations?.map((one) => `${one.field.replace(/^search\./, "")} ${one.description}`).join("; ");
      failed.push(`${shot}: ${text || failure.message}`);
    }
  }
  report(`${shots.length - failed.length} of ${shots.length} shots are submitted.`);
  return failed;
}

/** Create a search; while the server's queue is full, wait for room. */
async function createWithPatience(request) {
  for (;;) {
    try {
      return await call("/api/searches", { method: "POST", body: request });
    } catch (failure) {
      if (!failure.temporary) throw failure;
      await new Promise((resolve) => setTimeout(resolve, FULL_PAUSE_MS));
    }
  }
}

export async function batchView({ root }, batch) {
  const summary = made("div", { className: "card" }), rows = made("tbody");
  const again = made("button", { textContent: "Retry all that failed", hidden: true });
  const stop = made("button", { textContent: "Cancel what is left", hidden: true });
  root.append(
    made("h1", { textContent: `Batch ${batch}` }),
    made("div", { className: "row bar-above" }, [made("span", { className: "grow" }, [summary]), again, stop]),
    made("table", { className: "list" }, [made("thead", {}, [made("tr", {}, ["Shot", "Prompt", "State", "Best", "Actions"].map((text) => made("th", { textContent: text, scope: "col" })))]), rows]),
  );
  let timer = 0, left = false, shown = [];
  const inState = (states) => shown.filter((one) => states.includes(stateOf(one)));
  async function load() {
    clearTimeout(timer);
    try {
      shown = latest((await call(`/api/searches?limit=${FURTHER}&label=${encodeURIComponent(`batch=${batch}`)}`)).searches);
    } catch (failure) {
      if (!failure.temporary) return toast(failure.message, "error");
      if (!left) timer = setTimeout(load, REFRESH_MS);
      return;
    }
    if (left) return;
    summary.replaceChildren(shown.length ? bar(shown) : made("span", { className: "faint", textContent: "There are no searches in this batch." }));
    rows.replaceChildren(...shown.map(row));
    again.hidden = !inState(AGAIN).length;
    stop.hidden = !inState(OPEN).length;
    if (inState(OPEN).length) timer = setTimeout(load, REFRESH_MS);
  }
  const row = (search) => made("tr", { data: { shot: search.labels.shot ?? "" } }, [
    made("td", {}, [made("b", { textContent: search.labels.shot ?? search.search_id.slice(0, 12) })]),
    made("td", {}, [made("a", { href: `/searches/${search.search_id}`, data: { link: "" }, textContent: search.prompt }),
      ...(search.failure ? [made("p", { className: "error", textContent: search.failure.message })] : [])]),
    made("td", {}, [made("span", { className: `state ${stateOf(search)}`, textContent: search.waiting_reason ? "waiting" : stateOf(search) })]),
    made("td", { className: "number", textContent: search.best_potential?.toFixed(3) ?? "" }),
    made("td", {}, AGAIN.includes(stateOf(search)) ? [made("button", { textContent: "Retry", aria: { label: `Retry ${search.labels.shot}` }, onclick: () => acted([search], retry) })] : []),
  ]);
  async function acted(searches, act) {
    const buttons = [again, stop, ...rows.querySelectorAll("button")];
    buttons.forEach((one) => { one.disabled = true; });
    try {
      for (const one of searches) await act(one);
      announce(`${searches.length} done`);
    } catch (failure) {
      toast(failure.message, "error");
    }
    again.disabled = stop.disabled = false;
    await load();
  }
  again.addEventListener("click", () => acted(inState(AGAIN), retry));
  stop.addEventListener("click", () => acted(inState(OPEN), (one) => call(`/api/searches/${one.search_id}/cancel`, { method: "POST" })));
  await load();
  return () => { left = true; clearTimeout(timer); };
}

/** Ask again for a search that failed, as a new one: one only, however often this is asked for. */
async function retry(search) {
  const { request } = await call(`/api/searches/${search.search_id}`);
  await createWithPatience({ ...request, request_id: `studio.retry.${search.search_id}`, labels: search.labels });
}
