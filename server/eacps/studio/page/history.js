// All searches of the tenant.

import { call } from "./api.js";
import { made, toast, word } from "./dom.js";

const STATES = ["queued", "running", "succeeded", "failed", "cancelled"];
const REFRESH_MS = 3000, PAGE = 100;

export const stateOf = (search) => word(search.state ?? "SEARCH_STATE_UNSPECIFIED", "SEARCH_STATE");

/** A point in time for people. @param {string} text */
export const moment = (text) => new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

export async function historyView({ root, go, query }) {
  const state = made("select", { id: "state" }, [new Option("any state", ""), ...STATES.map((one) => new Option(one, one))]);
  const label = made("input", { id: "label", type: "search", placeholder: "shot=12a", size: 14, spellcheck: false });
  state.value = query.get("state") ?? "";
  label.value = query.get("label") ?? "";
  const list = made("div");
  const hint = made("span", { className: "faint", textContent: "A label is KEY=VALUE, such as shot=12a.", hidden: true, aria: { role: "status" } });
  const older = made("button", { textContent: "Show older ones", hidden: true, onclick: () => { limit += PAGE; load(); } });
  root.append(
    made("h1", { textContent: "History" }),
    made("form", { className: "row filters", onsubmit: (event) => event.preventDefault() }, [
      ...[["state", "State", state], ["label", "Label", label]].map(([id, text, input]) => made("span", { className: "row tight" }, [made("label", { htmlFor: id, textContent: text }), input])),
      hint,
    ]),
    list, older,
  );
  let timer = 0, number = 0, limit = PAGE;
  async function load() {
    const mine = ++number, asked = new URLSearchParams();
    if (state.value) asked.append("state", state.value);
    hint.hidden = !label.value.trim() || label.value.includes("=");
    if (label.value.includes("=")) asked.append("label", label.value.trim());
    history.replaceState(history.state, "", `/history${asked.size ? `?${asked}` : ""}`);
    try {
      const { searches, more } = await call(`/api/searches?limit=${limit}&${asked}`);
      if (mine !== number) return;
      older.hidden = !more;
      list.replaceChildren(searches.length ? table(searches) : made("p", { className: "empty", textContent: asked.size ? "No search fits." : "There are no searches yet. Begin with New." }));
      clearTimeout(timer);
      if (searches.some((one) => ["queued", "running"].includes(stateOf(one)))) timer = setTimeout(load, REFRESH_MS);
    } catch (failure) {
      if (mine !== number) return;
      if (failure.temporary) timer = setTimeout(load, REFRESH_MS);
      else toast(failure.message, "error");
    }
  }
  const table = (searches) => made("table", { className: "list" }, [
    made("thead", {}, [made("tr", {}, ["Created", "Prompt", "State", "Best", "Labels", "Actions"].map((text) => made("th", { textContent: text, scope: "col" })))]),
    made("tbody", {}, searches.map(row)),
  ]);
  const row = (search) => made("tr", { data: { search: search.search_id } }, [
    made("td", { className: "faint", textContent: moment(search.create_time) }),
    made("td", {}, [made("a", { href: `/searches/${search.search_id}`, data: { link: "" }, textContent: search.prompt })]),
    made("td", {}, [made("span", { className: `state ${stateOf(search)}`, textContent: search.waiting_reason ? "waiting" : stateOf(search), title: search.failure?.message ?? search.waiting_reason ?? "" })]),
    made("td", { className: "number", textContent: search.best_potential?.toFixed(3) ?? "" }),
    made("td", { className: "faint", textContent: Object.entries(search.labels ?? {}).map(([key, value]) => `${key}=${value}`).join(", ") }),
    made("td", {}, [made("button", { className: "quiet", textContent: "Delete", aria: { label: `Delete “${search.prompt}”` }, onclick: () => remove(search) })]),
  ]);
  async function remove(search) {
    if (!confirm(`Delete the search “${search.prompt}” and its pictures? This cannot be undone.`)) return;
    try {
      await call(`/api/searches/${search.search_id}`, { method: "DELETE" });
    } catch (failure) {
      toast(failure.message, "error");
    }
    await load();
  }
  state.addEventListener("change", load);
  label.addEventListener("change", load);
  await load();
  return () => { clearTimeout(timer); number += 1; };
}
