// Follows a search: its events as they come, through lost connections.

import { setAway } from "./api.js";

/**
 * @param {import("./model.js").SearchModel} model Gets the events.
 * @param {{ changed: () => void, failed: (failure: any) => void }} watcher
 * @returns {() => void} Stops following.
 */
export function follow(model, { changed, failed }) {
  const source = new EventSource(`/api/searches/${model.search.search_id}/events?after=${model.sequence}`);
  let asking = 0;
  source.onopen = () => setAway(false);
  source.onmessage = ({ data }) => {
    setAway(false);
    if (model.add(JSON.parse(data))) changed();
  };
  source.addEventListener("over", () => {
    source.close();
    changed();
  });
  source.addEventListener("failure", ({ data }) => {
    const failure = JSON.parse(data);
    if (failure.temporary) {
      setAway(true); // the browser connects again by itself, after the last event that it has
    } else {
      source.close();
      failed(failure.reason === "CLIENT_CLOSED" ? null : failure); // signed out elsewhere: a call says so
    }
  });
  source.onerror = () => {
    if (source.readyState === EventSource.CONNECTING) setAway(true);
    if (source.readyState === EventSource.CLOSED) asking = setTimeout(() => failed(null), 1500); // refused: ask why
  };
  return () => {
    source.close();
    clearTimeout(asking);
  };
}
