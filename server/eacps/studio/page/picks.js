// Picks across searches. They are kept in this browser; the pictures stay with their searches on the server.

import { pictureAddress } from "./api.js";
import { made, save } from "./dom.js";

const KEY = "eacps.picks";

/** @typedef {{ search: string, candidate: string, artifact: string, prompt: string, shot: string, seeds: number[], potential: number | null }} Pick */

class Picks {
  #watchers = [];

  /** @returns {Pick[]} */
  get all() {
    try {
      return JSON.parse(localStorage.getItem(KEY) ?? "[]");
    } catch {
      return [];
    }
  }

  has(search, candidate) {
    return this.all.some((one) => one.search === search && one.candidate === candidate);
  }

  /** Pick a candidate, or remove its pick; returns whether it is picked now. @param {Pick} pick */
  toggle(pick) {
    const others = this.all.filter((one) => one.search !== pick.search || one.candidate !== pick.candidate);
    const added = others.length === this.all.length;
    localStorage.setItem(KEY, JSON.stringify(added ? [pick, ...others] : others));
    this.#changed();
    return added;
  }

  watch(watcher) {
    this.#watchers.push(watcher);
    watcher(this.all.length);
  }

  #changed() {
    this.#watchers.forEach((one) => one(this.all.length));
  }
}

export const picks = new Picks();

/** The list of picks as the review page writes it, for scripts. @param {Pick[]} all */
export function pickList(all) {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const rows = all.map((one) => [one.shot, one.search, one.candidate, one.artifact, one.seeds.join(" ")].map(quoted).join(","));
  return ["shot,search,candidate,artifact,seeds", ...rows].join("\n") + "\n";
}

export async function picksView({ root, go }) {
  const draw = () => {
    const all = picks.all;
    root.replaceChildren(made("h1", { textContent: "Picks" }));
    if (!all.length) {
      root.append(made("p", { className: "empty", textContent: "Nothing is picked yet. The star on a candidate picks it. Picks are kept in this browser." }));
      return;
    }
    root.append(
      made("p", { className: "row" }, [
        made("span", { className: "faint grow", textContent: "Kept in this browser; the pictures are kept with their searches." }),
        made("button", { textContent: "Download the list (CSV)", onclick: () => save(pickList(all), "picks.csv", "text/csv") }),
      ]),
      made("div", { className: "grid" }, all.map((one) => card(one))),
    );
  };
  const card = (one) => {
    const address = `/searches/${one.search}/${one.candidate}`;
    const image = made("img", { src: pictureAddress(one.artifact, 512), alt: `${one.candidate}: ${one.prompt}`, loading: "lazy" });
    image.addEventListener("error", () => figure.classList.add("gone"));
    const figure = made("figure", { data: { pick: one.candidate } }, [
      made("a", { href: address, data: { link: "" } }, [image]),
      made("p", { className: "gone-note", textContent: "Its search has been deleted." }),
      made("figcaption", {}, [
        made("div", { className: "title" }, [made("span", { textContent: one.shot || one.prompt }), made("span", { textContent: one.potential?.toFixed(3) ?? "" })]),
        made("p", { className: "faint", textContent: one.candidate }),
        made("div", { className: "row pick-tools" }, [
          made("a", { className: "button", href: `/api/searches/${one.search}/candidates/${one.candidate}/file`, download: "", textContent: "Download" }),
          made("button", { textContent: "Remove", onclick: () => { picks.toggle(one); draw(); } }),
        ]),
      ]),
    ]);
    return figure;
  };
  draw();
}
