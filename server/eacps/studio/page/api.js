// The studio's own server, which hands everything on to the search server.

import { element } from "./dom.js";

/** What a call failed with. `violations` name the fields at fault. */
export class Failure extends Error {
  /** @param {number} status @param {any} body */
  constructor(status, body) {
    super(body.message ?? `the studio answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.reason = body.reason ?? "";
    this.violations = body.violations ?? [];
    this.temporary = body.temporary ?? status >= 500;
  }
}

/** Called when the server asks who the caller is. @type {(failure: Failure) => void} */
let onUnknown = () => {};
export function whenUnknown(handler) {
  onUnknown = handler;
}

/** Show or hide that the search server is away. @param {boolean} away */
export function setAway(away) {
  element("away").hidden = !away;
}

/**
 * Call the studio's server.
 * @param {string} path
 * @param {{ method?: string, body?: any }} [options] A body is sent as JSON, unless it is a file or bytes.
 * @returns {Promise<any>} What it answers; null for nothing.
 * @throws {Failure}
 */
export async function call(path, { method = "GET", body } = {}) {
  const raw = body instanceof Blob;
  const headers = body === undefined ? {} : { "content-type": raw ? "application/octet-stream" : "application/json" };
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined || raw ? body : JSON.stringify(body) });
  } catch {
    setAway(true);
    throw new Failure(503, { code: "STUDIO_AWAY", message: "the studio itself cannot be reached", temporary: true });
  }
  const text = await response.text();
  if (response.ok) {
    setAway(false);
    return text ? JSON.parse(text) : null;
  }
  let answer = {};
  try {
    answer = JSON.parse(text);
  } catch { /* not the studio's own answer: the status alone counts */ }
  const failure = new Failure(response.status, answer);
  if (failure.code === "UNAVAILABLE") setAway(true);
  if (failure.status === 401 && path !== "/api/session") onUnknown(failure);
  throw failure;
}

let mostBytes = Infinity;

/** Refuse larger pictures before they are sent. @param {number} bytes */
export function limitUploads(bytes) {
  mostBytes = bytes;
}

/** Upload a picture; returns its hash and notes. @param {File} file @throws {Failure} A refusal of the file begins with a verb. */
export async function upload(file) {
  const inMiB = (bytes) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  if (file.size > mostBytes) throw new Failure(413, { code: "TOO_LARGE", message: `has ${inMiB(file.size)}; at most ${inMiB(mostBytes)} are accepted` });
  return call("/api/pictures", { method: "POST", body: file });
}

/** Why a file was not taken, in words. @param {any} failure @param {string} name */
export function wordsOfUpload(failure, name = "This file") {
  const text = failure.violations?.map((one) => one.description).join("; ") || failure.message;
  return [400, 413].includes(failure.status) ? `${name} ${text}.` : text;
}

/** Address of a picture, with `size` scaled down to it. @param {string} artifact @param {number} [size] */
export const pictureAddress = (artifact, size) => `/api/pictures/${artifact}${size ? `?size=${size}` : ""}`;
