// The tables that several views show: discoveries, and how the nodes stand.

import { h, said, table } from "./dom.js";
import { ago, changeText, clock, percent, shortId, signed, status, value, who } from "./format.js";

export function discoveryTable(discoveries, most = Infinity) {
  const order = { confirmed: 0, open: 1, refuted: 2 };
  const rows = [...discoveries].sort((a, b) => order[a.status] - order[b.status] || b.expected - a.expected).slice(0, most).map((d) => ({
    class: d.status,
    cells: [
      h("a", { href: `#/discovery/${d.id}` }, said(changeText(d.change, d.edits))),
      signed(d.expected), status(d.status), `${d.adopters.length}${d.held ? " ✔" : ""}`, who(d.alias, d.own), clock(d.time_ms), shortId(d.id),
    ],
  }));
  return table("What was found", [["change", "wide"], ["worth", "n"], ["status"], ["held by", "n"], ["found by"], ["when"], ["record"]], rows);
}

export function standingsTable(board) {
  const base = board.baseline;
  const rows = board.nodes.map((node) => ({
    class: node.own ? "mine" : "",
    cells: [
      who(node.alias, node.own), value(node.value),
      base === null || node.value === null ? "–" : percent((node.value - base) / Math.abs(base)),
      String(node.changes), node.experiments.toLocaleString("en"), String(node.keeps), String(node.confirmed), credible(node), ago(node.last_ms),
    ],
  }));
  return table("How the nodes stand", [["node"], ["best", "n"], ["gain", "n"], ["changes", "n"], ["experiments", "n"], ["kept", "n"], ["confirmed", "n"], ["credible"], ["last result"]], rows);
}

/** How far this node believes that one, as a bar and a figure; by its own replications alone. */
export function credible(node) {
  if (node.own || node.credibility === null) return h("span", { class: "faint" }, "this node");
  const share = node.credibility;
  return h("span", { class: "credible" },
    h("meter", { min: "0", max: "1", low: "0.4", high: "0.6", optimum: "1", value: String(share), "aria-hidden": "true" }), share.toFixed(2));
}

