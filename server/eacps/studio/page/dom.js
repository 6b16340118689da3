// Elements, and what the page says aloud.

/**
 * Make an element. Text is never read as HTML.
 * @param {string} tag
 * @param {Record<string, any>} [properties] Properties; `data` and `aria` are objects of attributes.
 * @param {(Node | string)[]} [children]
 * @returns {any}
 */
export function made(tag, properties = {}, children = []) {
  const { data = {}, aria = {}, ...rest } = properties;
  const node = Object.assign(document.createElement(tag), rest);
  for (const [name, value] of Object.entries(data)) node.dataset[name] = value;
  for (const [name, value] of Object.entries(aria)) node.setAttribute(name === "role" ? name : `aria-${name}`, value);
  node.append(...children);
  return node;
}

/** @param {string} id @returns {any} */
export const element = (id) => document.getElementById(id);

/** Say something to screen readers, without moving the focus. @param {string} text */
export function announce(text) {
  element("status").textContent = text;
}

/** Show a message at the lower edge for a while. @param {string} text @param {"info" | "error"} [kind] */
export function toast(text, kind = "info") {
  document.querySelectorAll(".toast").forEach((one) => one.remove());
  const box = made("div", { className: `toast ${kind}`, textContent: text, aria: { role: kind === "error" ? "alert" : "status" } });
  const layer = [...document.querySelectorAll("dialog[open]")].pop() ?? document.body; // a dialog covers the body
  layer.append(box);
  setTimeout(() => box.remove(), kind === "error" ? 8000 : 4000);
}

/** Save text as a file. @param {string} text @param {string} name @param {string} type */
export function save(text, name, type) {
  const link = made("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/** A word of the API for people: `SEARCH_STATE_RUNNING` is "running". @param {string} name @param {string} prefix */
export const word = (name, prefix) => name.replace(`${prefix}_`, "").toLowerCase().replaceAll("_", " ");
