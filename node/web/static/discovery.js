// One discovery: how it spread over nodes and time, what it came from, what was built on it.

import { get } from "./api.js";
import { axis, colour, draw, figure, label, onPoint } from "./chart.js";
import { facts, h, said, section, table } from "./dom.js";
import { REPLICATIONS, changeText, clock, count, duration, isKept, shortId, signed, status, value, who } from "./format.js";

export function discoveryView(id) {
  const element = h("div", { class: "stack" });
  const shown = figure("Who tested it when");
  async function refresh() {
    const d = await get(`discoveries/${id}`);
    const adopted = d.tests.filter((t) => isKept(t.verdict) && t.role === "replicated");
    element.replaceChildren(
      h("h1", {}, said(changeText(d.change, d.edits)), " ", status(d.status)),
      h("p", { class: "second" }, "Found by ", who(d.alias, d.own), " ", clock(d.time_ms), `; adopted by ${count(new Set(adopted.map((t) => t.author)).size, "other node")}`,
        adopted.length ? `, the latest ${duration(adopted.at(-1).after_ms)} later` : "", `. Worth about ${signed(d.expected)} ${d.unit}.`),
      d.hypothesis ? h("blockquote", {}, said(d.hypothesis)) : null,
      section("Spread", { class: "panel" }, shown.element, testTable(d),
        d.waiting.length ? h("p", { class: "faint" }, "Not tested by ", d.waiting.slice(0, 12).map((w, i) => [i ? ", " : "", who(w.alias, w.own)]), d.waiting.length > 12 ? ` and ${d.waiting.length - 12} more` : "", ".") : null),
      section("Lineage", { class: "panel" }, lineage("What it was built on", d.ancestors), lineage("What was built on it", d.descendants)),
      section("More", { class: "panel" }, facts([["record", shortId(d.id)], ["proposed by", said(d.proposer)], ["integrity", d.integrity], ["as published", signed(d.effect)]])));
    spread(shown, d);
  }
  return { title: "Discovery", element, start: refresh, refresh };
}

function spread(shown, d) {
  const aliases = new Map();
  for (const t of [...d.tests, ...d.waiting]) {
    const taken = [...aliases].some(([author, name]) => author !== t.author && name === label(t.alias, 20));
    if (!aliases.has(t.author)) aliases.set(t.author, taken ? `${label(t.alias, 20)} ${t.author.slice(0, 4)}` : label(t.alias, 20));
  }
  const names = [...aliases.values()].slice(0, 40);
  const longest = Math.max(...d.tests.map((t) => t.after_ms), 1);
  const [unit, name] = longest > 5.4e6 ? [3.6e6, "hours"] : longest > 9e4 ? [6e4, "minutes"] : [1e3, "seconds"];
  const kinds = [
    ["found", "star", "gold", (t) => t.role === "found"],
    ["adopted", "circle", "good", (t) => t.role !== "found" && isKept(t.verdict)],
    ["not here", "x", "bad", (t) => t.role !== "found" && t.verdict === "discard"],
    ["unclear or crashed", "circle-open", "soft", (t) => t.role !== "found" && !isKept(t.verdict) && t.verdict !== "discard"],
  ];
  const held = names.map((row) => {
    const first = d.tests.find((t) => aliases.get(t.author) === row && isKept(t.verdict));
    return { type: "scatter", mode: "lines", x: first ? [first.after_ms / unit, longest / unit * 1.03] : [], y: [row, row], line: { width: 5, color: colour("good", 0.18) }, hoverinfo: "skip", showlegend: false };
  });
  const traces = kinds.map(([kind, symbol, tint, is]) => {
    const tests = d.tests.filter(is);
    return {
      type: "scatter", mode: "markers", name: kind, x: tests.map((t) => t.after_ms / unit), y: tests.map((t) => aliases.get(t.author)),
      customdata: tests.map((t) => t.id), text: tests.map((t) => `${kind} · ${signed(t.effect)}`), hoverinfo: "text",
      marker: { symbol, size: kind === "found" ? 13 : 10, color: colour(tint), line: { width: symbol === "circle-open" ? 1.6 : 0, color: colour(tint) } },
    };
  }).filter((trace) => trace.x.length);
  shown.plot.style.height = `${Math.max(170, 90 + 30 * names.length)}px`;
  draw(shown, [...held, ...traces], {
    xaxis: axis(`${name} since it was found`, { range: [-longest / unit * 0.04, longest / unit * 1.04] }),
    yaxis: axis("", { categoryorder: "array", categoryarray: [...names].reverse(), range: [-0.6, names.length - 0.4] }),
  }, null, `${count(d.adopters.length, "node")} hold it; ${count(d.tests.length, "test")} in ${duration(longest)}. The table below has each.`)
    .then(() => onPoint(shown.plot, (point) => { if (point.customdata) location.hash = `#/record/${point.customdata}`; }));
  shown.rest.hidden = true;
}

function testTable(d) {
  const rows = d.tests.map((t) => {
    const [mark, word, kind] = t.role === "found" && isKept(t.verdict) ? ["★", "found", "gold"] : REPLICATIONS[t.verdict];
    return { class: t.own ? "mine" : "", cells: [
      who(t.alias, t.own), h("span", { class: kind }, `${mark} ${word}`), duration(t.after_ms), signed(t.effect), t.low === null ? "–" : `${signed(t.low)} to ${signed(t.high)}`, String(t.seeds), value(t.value), said(t.device), shortId(t.id),
    ] };
  });
  return table("Every test of it", [["node"], ["outcome"], ["after", "n"], ["effect", "n"], ["interval", "n"], ["seeds", "n"], ["value", "n"], ["device"], ["record"]], rows);
}

function lineage(title, steps) {
  return h("div", {}, h("h3", {}, title), steps.length ? h("ol", { class: "lineage" }, steps.map((s) => (
    h("li", {}, shortId(s.id), " ", said(s.text), " ", h("span", { class: "faint" }, who(s.alias, s.own), " ", clock(s.time_ms)))))) : h("p", { class: "faint" }, "Nothing."));
}

