// How values are written: the same words and digits as in the terminal's feed.

import { h, said } from "./dom.js";

/** A number as a person writes it: six digits, no tail of zeros. */
export function number(value) {
  if (typeof value !== "number") return String(value);
  if (value !== 0 && (Math.abs(value) >= 1e6 || Math.abs(value) < 1e-4)) return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(6)));
}

/** A metric's value; nothing as a dash. */
export function value(x) {
  if (x === null || x === undefined) return "–";
  return Math.abs(x) < 1e6 ? x.toFixed(4).replace("-", "−") : x.toExponential(3).replace("e+", "e");
}

/** A value with its sign. */
export const signed = (x) => (x === null || x === undefined ? "–" : (x > 0 ? "+" : "") + value(x));

/** A share as −12.3 %; a dash where it means nothing. */
export function percent(share) {
  if (share === null || share === undefined || Math.abs(share) > 1000) return "–";
  return `${share > 0 ? "+" : share < 0 ? "−" : ""}${Math.abs(share * 100).toFixed(1)}%`;
}

export const count = (n, what) => `${n.toLocaleString("en")} ${n === 1 ? what : what.endsWith("y") ? `${what.slice(0, -1)}ies` : `${what}s`}`;

/** `INIT default → normal, train.py +12 −3`, as text. */
export function changeText(change, edits) {
  const knobs = Object.entries(change ?? {}).sort().map(([knob, [before, after]]) => `${knob} ${knobText(before)} → ${knobText(after)}`);
  const files = Object.entries(edits ?? {}).sort().map(([file, size]) => (
    size === null ? `${file} edited` : size[0] || size[1] ? `${file} +${size[0]} −${size[1]}` : `${file} reordered`
  ));
  return [...knobs, ...files].join(", ") || "no change";
}

export function knobText(x) {
  if (typeof x === "boolean") return x ? "True" : "False";
  return typeof x === "number" ? number(x) : String(x);
}

/** `3 min`, `5.2 h`: a length of time in milliseconds. */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 36 * 3600 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86400).toFixed(seconds < 864_000 ? 1 : 0)} days`;
}

const sane = (ms) => Number.isFinite(ms) && Math.abs(ms) < 8.64e15;

/** The time of day today, the date before: with the whole of it as the title. */
export function clock(ms) {
  if (!sane(ms)) return h("span", {}, "–");
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  const text = today ? date.toLocaleTimeString("en-GB") : date.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  return h("time", { datetime: date.toISOString(), title: date.toLocaleString("en-GB") }, text);
}

export function ago(ms) {
  if (ms === null || ms === undefined || !sane(ms)) return "–";
  return h("time", { datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString("en-GB") }, `${duration(Date.now() - ms)} ago`);
}

/** A node's name; this node's own stands out. */
export const who = (alias, own) => said(alias, { class: own ? "node own" : "node" });

export const shortId = (id) => h("a", { class: "id", href: `#/record/${id}`, "aria-label": `record ${id.slice(0, 8)}` }, id.slice(0, 8));

/** [mark, word, class] of a verdict, for an own idea or a replication. */
export const VERDICTS = {
  keep: ["★", "discovery", "good"],
  simpler: ["★", "simpler", "good"],
  discard: ["·", "no gain", "faint"],
  inconclusive: ["~", "unclear", "faint"],
  crash: ["✗", "crash", "bad"],
};
export const REPLICATIONS = {
  keep: ["✔", "adopted", "good"],
  simpler: ["✔", "adopted", "good"],
  discard: ["·", "not here", "warn"],
  inconclusive: ["~", "unclear", "faint"],
  crash: ["✗", "crash", "bad"],
};
export const isKept = (verdict) => verdict === "keep" || verdict === "simpler";
export const status = (name) => h("span", { class: `chip ${name}` }, name);
