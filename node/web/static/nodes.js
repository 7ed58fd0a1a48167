// Who is there: what every node does, how far this one believes it, and the connections.

import { get } from "./api.js";
import { h, said, section, table } from "./dom.js";
import { ago, count, value, who } from "./format.js";
import { credible } from "./tables.js";

export function nodesView() {
  const element = h("div", { class: "stack" });
  async function refresh() {
    const data = await get("peers");
    const rows = data.nodes.map((n) => ({ class: n.own ? "mine" : "", cells: [
      who(n.alias, n.own), n.own ? "this node" : n.connected ? "connected" : "not connected", n.activity ? said(n.activity) : "–", value(n.best), credible(n), said(n.device ?? "–"), ago(n.heard_ms), ago(n.last_ms), h("code", { title: n.author }, n.author.slice(0, 8)),
    ] }));
    const links = data.connected.map((p) => [
      p.alias === null ? h("code", {}, `…${p.peer.slice(-8)}`) : who(p.alias, false), h("code", { class: "wrap" }, said(p.address)), p.inbound ? "it dialled" : "we dialled", ago(p.since_ms),
    ]);
    element.replaceChildren(
      h("h1", {}, "Nodes"),
      section("What they do", { class: "panel" }, table("Every node that was heard of", [["node"], ["link"], ["says that it is", "wide"], ["best, as it says", "n"], ["credible"], ["device"], ["heard"], ["last result"], ["key"]], rows),
        h("p", { class: "faint" }, "Credible is this node's own view: 0.5 for a stranger, more with every find of theirs that held here, less with every one that did not.")),
      section("Connections", { class: "panel" }, h("p", {}, `${count(links.length, "peer")} connected; records are exchanged at once with ${data.mesh} of them (the mesh), the others are told of ids.`),
        links.length ? table("Connected peers", [["peer"], ["address", "wide"], ["direction"], ["since"]], links) : h("p", { class: "faint" }, "This node is alone. `arnode invite` prints what another machine needs to join.")));
  }
  return { title: "Nodes", element, start: refresh, refresh };
}
