// One record in full: what it says, its diff, who signed it and whether the signature holds.

import { get } from "./api.js";
import { facts, h, printable, said, section, table } from "./dom.js";
import { REPLICATIONS, VERDICTS, ago, changeText, clock, number, percent, shortId, signed, value, who } from "./format.js";

const MOST_LINES = 2000;

export function recordView(id) {
  const element = h("div", { class: "stack" });
  async function refresh() {
    const record = await get(`records/${id}`);
    element.replaceChildren(...(record.kind === "result" ? result(record) : other(record)), signature(record),
      section("As it was signed", { class: "panel" }, h("details", {}, h("summary", {}, "All fields"), h("pre", { class: "raw", tabindex: "0" }, printable2(JSON.stringify(record.body, null, 2))))));
  }
  return { title: `Record ${id.slice(0, 8)}`, element, start: refresh };
}

/** Lines stay lines; whatever else could steer is replaced. */
const printable2 = (text) => text.split("\n").map(printable).join("\n");

function result(record) {
  const { body, event } = record;
  const [mark, word, kind] = (body.replicates ? REPLICATIONS : VERDICTS)[body.verdict] ?? ["", printable(body.verdict), ""];
  const change = event ? changeText(event.change, event.edits) : changeText(body.change, {});
  const pairs = table("Trials, candidate against parent on the same seeds", [["seed", "n"], ["parent", "n"], ["candidate", "n"], ["difference", "n"]],
    body.pairs.map((p) => [String(p.seed), value(p.parent), value(p.candidate), p.parent === null || p.candidate === null ? "–" : signed(p.candidate - p.parent)]), { class: "told" });
  return [
    h("h1", {}, said(change), " ", h("span", { class: `chip ${kind}` }, `${mark} ${word}`)),
    h("p", { class: "second" }, who(record.alias, record.own), " ", clock(record.time_ms), body.effect === null ? "" : `: effect ${signed(body.effect)}`,
      body.interval ? ` (${signed(body.interval[0])} to ${signed(body.interval[1])})` : "", event?.relative ? `, the metric ${percent(event.relative)}` : "", body.reason ? [". ", said(body.reason)] : ""),
    body.hypothesis ? h("blockquote", {}, said(body.hypothesis)) : null,
    section("What came of it", { class: "panel" }, pairs, facts([
      ["replicates", body.replicates ? h("span", {}, shortId(body.replicates), " of ", said(event?.replicates_of)) : null],
      ["inspired by", body.inspired_by?.length ? h("span", {}, body.inspired_by.map((one, i) => [i ? " " : "", shortId(one)])) : null],
      ["spread", h("a", { href: `#/discovery/${record.id}` }, "who tested this change")],
      ["proposed by", said(body.proposer)], ["integrity", said(body.integrity)], ["device", said(body.device)],
      ["took", `${number(body.seconds)} s`], ["budget", body.budget ? `${number(body.budget.amount)} ${printable(body.budget.kind)}` : null],
      ["parameters", body.parameters ? body.parameters.toLocaleString("en") : null], ["tokens", body.tokens ? body.tokens.toLocaleString("en") : null],
      ["steps", body.steps ? body.steps.toLocaleString("en") : null], ["peak memory", body.peak_memory_mb ? `${number(body.peak_memory_mb)} MB` : null],
    ])),
    diffs(record),
  ].filter(Boolean);
}

function other(record) {
  const { body } = record;
  return [
    h("h1", {}, printable(record.kind)),
    h("p", { class: "second" }, who(record.alias, record.own), " ", clock(record.time_ms)),
    body.text ? h("blockquote", {}, said(body.text)) : null,
    section("What it says", { class: "panel" }, facts(Object.entries(body).filter(([name]) => name !== "text").map(([name, x]) => [
      printable(name), Array.isArray(x) && x.every((one) => /^[0-9a-f]{64}$/.test(one)) ? h("span", {}, x.map((one, i) => [i ? " " : "", shortId(one)])) : said(typeof x === "object" ? JSON.stringify(x) : x)]))),
  ].filter(Boolean);
}

function diffs(record) {
  const whole = record.diff && record.diff !== record.parent_diff;
  if (!record.diff && !record.parent_diff) return null;
  return section("The change", { class: "panel" },
    record.parent_diff ? h("div", {}, h("h3", {}, "From its parent"), diff(record.parent_diff)) : null,
    whole ? h("details", { open: !record.parent_diff }, h("summary", {}, "From the task's program: all that this recipe changes"), diff(record.diff)) : null);
}

/** A unified diff with its lines told apart, by a mark and not by colour alone. */
export function diff(text) {
  const lines = text.replace(/\n$/, "").split("\n");
  const kind = (line) => (line.startsWith("@@") ? "hunk" : /^(\+\+\+|---) /.test(line) ? "file" : line[0] === "+" ? "add" : line[0] === "-" ? "del" : "");
  const shown = lines.slice(0, MOST_LINES).map((line) => h("span", { class: `l ${kind(line)}` }, printable(line.replaceAll("\t", "    ")), "\n"));
  if (lines.length > MOST_LINES) shown.push(h("span", { class: "l hunk" }, `… ${lines.length - MOST_LINES} more lines: arnode show has all`));
  return h("pre", { class: "diff", tabindex: "0", "aria-label": "diff" }, h("code", {}, shown));
}

function signature(record) {
  const valid = record.signature === "valid";
  return section("Signature", { class: "panel" },
    h("p", {}, h("span", { class: `chip ${valid ? "good" : "bad"}` }, valid ? "✔ valid" : "✗ INVALID"), " ",
      valid ? "This node has just checked it: these bytes were signed with the author's key and not changed since." : said(record.signature)),
    facts([
      ["record id", h("code", {}, record.id)], ["author's key", h("code", {}, record.author)], ["calls itself", who(record.alias, record.own)],
      ["task", h("code", {}, record.task)], ["signed", h("span", {}, clock(record.time_ms), " (", ago(record.time_ms), ", by the author's clock)")], ["size", `${record.bytes.toLocaleString("en")} bytes`],
    ]));
}
