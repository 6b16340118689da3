// The page as a whole: who is here, what the server offers, and which view the address names.

import { call, limitUploads, whenUnknown } from "./api.js";
import { element, made } from "./dom.js";
import { composeView } from "./compose.js";
import { batchesView, batchView } from "./batches.js";
import { historyView } from "./history.js";
import { searchView } from "./search.js";
import { picks, picksView } from "./picks.js";

/** @type {[RegExp, string, (context: any, ...parts: string[]) => Promise<(() => void) | void>][]} */
const VIEWS = [
  [/^\/$/, "New search", composeView],
  [/^\/history$/, "History", historyView],
  [/^\/picks$/, "Picks", picksView],
  [/^\/batches$/, "Batches", batchesView],
  [/^\/batches\/([^/]+)$/, "Batch", batchView],
  [/^\/searches\/([0-9a-f]{32})(?:\/([\w-]+))?$/, "Search", searchView],
];

let offered = null, leave = null, shown = 0;

/** Go to another view. @param {string} path @param {{ replace?: boolean, state?: any }} [options] */
export async function go(path, { replace = false, state = null } = {}) {
  history[replace ? "replaceState" : "pushState"](state, "", path);
  await show();
}

async function show() {
  const number = ++shown, view = element("view");
  leave?.();
  leave = null;
  const path = readable(location.pathname) ? location.pathname : "";
  const [pattern, title, open] = VIEWS.find(([one]) => one.test(path)) ?? [/^/, "Not found", notFound];
  document.title = `${title} · EACPS Studio`;
  document.querySelectorAll("nav a").forEach((link) => {
    const here = link.getAttribute("href") === `/${path.split("/")[1]}`;
    here ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  });
  try {
    offered ??= await call("/api/capabilities");
    limitUploads(Number(offered.limits.upload_bytes));
    element("server").textContent = offered.checkpoint.name;
    element("sign-out").hidden = !offered.signed_in;
    const root = made("div", { className: "view" });
    const context = { root, offered, go, state: history.state, query: new URLSearchParams(location.search) };
    const parts = path.match(pattern)?.slice(1).filter((one) => one !== undefined).map(decodeURIComponent) ?? [];
    const left = await open(context, ...parts);
    if (number !== shown) return left?.();
    leave = left ?? null;
    view.replaceChildren(root);
    view.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (failure) {
    if (number === shown) view.replaceChildren(problem(failure));
  }
}

/** Whether an address can be decoded. @param {string} path */
function readable(path) {
  try {
    return Boolean(decodeURIComponent(path));
  } catch {
    return false;
  }
}

async function notFound({ root }) {
  root.append(made("p", { className: "empty", textContent: "There is no such page." }));
}

function problem(failure) {
  if (failure.status === 401) return signIn(failure);
  if (!failure.status) console.error(failure);
  const retry = made("button", { textContent: "Try again", onclick: show });
  const text = failure.status === 404 ? "This is not here any more, or it is not yours." : failure.message;
  return made("div", { className: "empty" }, [made("h1", { textContent: "That did not work" }), made("p", { textContent: text }), retry]);
}

function signIn(failure) {
  if (failure.code === "LINK_NEEDED") {
    return made("div", { className: "empty" }, [made("h1", { textContent: "Open the studio by its link" }),
      made("p", { textContent: "It works in the name of whoever started it, so only the link that it printed at its start opens it." })]);
  }
  const input = made("input", { type: "password", autocomplete: "current-password", required: true, id: "key", name: "key" });
  const note = made("p", { className: "error", aria: { role: "alert" } });
  const form = made("form", { className: "empty" }, [
    made("h1", { textContent: "Who is there?" }),
    made("p", { textContent: "The search server asks for an API key. It stays in the memory of the studio's server until you sign out." }),
    made("label", { htmlFor: "key", textContent: "API key" }), input, note,
    made("button", { className: "primary", textContent: "Sign in" }),
  ]);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await call("/api/session", { method: "POST", body: { key: input.value.trim() } });
      await show();
    } catch (refused) {
      note.textContent = refused.status === 401 ? "The server does not know this key." : refused.message;
      input.select();
    }
  });
  return form;
}

whenUnknown((failure) => {
  offered = null;
  element("view").replaceChildren(problem(failure));
});
element("sign-out").addEventListener("click", async () => {
  await call("/api/session", { method: "DELETE" });
  offered = null;
  element("sign-out").hidden = true;
  await go("/");
});
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-link]") : null;
  if (!link || event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});
addEventListener("popstate", show);
picks.watch((number) => {
  element("picks").textContent = String(number);
  element("picks").hidden = number === 0;
});
show();
