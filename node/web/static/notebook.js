// The shared notebook: what holds across nodes, and ideas with what came of them.

import { get } from "./api.js";
import { h, said, section } from "./dom.js";
import { REPLICATIONS, ago, knobText, shortId, signed, who } from "./format.js";

export function notebookView() {
  const element = h("div", { class: "stack" });
  async function refresh() {
    const data = await get("notebook");
    element.replaceChildren(
      h("h1", {}, "Notebook"),
      h("p", { class: "faint" }, "What the nodes made of all results together, and the ideas that wait for whoever picks them up."),
      section("Insights", { class: "panel" }, list(data.insights, insight)),
      section("Ideas that wait for a test", { class: "panel" }, list(data.open, idea)),
      section("Ideas with an answer", { class: "panel" }, list(data.answered, idea)));
  }
  return { title: "Notebook", element, start: refresh, refresh };
}

const list = (entries, one) => (entries.length ? h("ol", { class: "ideas" }, entries.map((entry) => h("li", {}, one(entry)))) : h("p", { class: "faint" }, "None yet."));

const source = (entry) => [who(entry.alias, entry.own), entry.proposer ? [" (", said(entry.proposer), ")"] : "", " · ", ago(entry.time_ms), " · ", shortId(entry.id)];

const evidence = (entry) => (entry.evidence.length ? [" · rests on ", entry.evidence.slice(0, 5).map((id, i) => [i ? " " : "", shortId(id)]), entry.evidence.length > 5 ? ` and ${entry.evidence.length - 5} more` : ""] : "");

function insight(entry) {
  return [
    h("div", {}, entry.kind ? h("span", { class: `chip ${entry.kind === "contradiction" ? "refuted" : ""}` }, said(entry.kind)) : null, " ", said(entry.text)),
    h("div", { class: "faint" }, source(entry), evidence(entry)),
  ];
}

function idea(entry) {
  const settings = Object.entries(entry.set).map(([knob, to]) => `${knob} = ${knobText(to)}`).join(", ");
  return [
    h("div", {}, settings ? h("strong", {}, said(settings)) : null, settings ? ": " : "", said(entry.text)),
    h("div", { class: "faint" }, source(entry), ` · priority ${entry.priority.toFixed(2)}`, entry.claimed_by.length ? [" · being tested by ", entry.claimed_by.map((alias, i) => [i ? ", " : "", who(alias, false)])] : "", evidence(entry)),
    entry.answers.map((answer) => {
      const [mark, word, kind] = REPLICATIONS[answer.verdict];
      return h("div", {}, h("span", { class: kind }, `${mark} ${answer.verdict === "keep" ? "held" : word}`), ` ${signed(answer.effect)} for `, who(answer.alias, answer.own), " ", shortId(answer.id));
    }),
  ];
}

