// The board: how the nodes stand, and everything that was found.

import { get } from "./api.js";
import { h, said, section } from "./dom.js";
import { number, value } from "./format.js";
import { discoveryTable, standingsTable } from "./tables.js";

export function boardView() {
  const element = h("div", { class: "stack" });
  async function refresh() {
    const board = await get("board");
    const known = board.known_best;
    element.replaceChildren(
      h("h1", {}, "Board"),
      h("p", { class: "faint" }, said(board.metric), board.unit ? [", ", said(board.unit)] : "", `, ${board.direction === "minimize" ? "lower" : "higher"} is better · baseline ${value(board.baseline)} · noise ${value(board.noise)}`,
        board.floor === null ? "" : ` · floor ${value(board.floor)}`, known ? [` · best known ${number(known.value)} (`, said(known.source), ")"] : ""),
      section("Nodes", { class: "panel" }, board.nodes.length ? standingsTable(board) : h("p", { class: "faint" }, "No experiment yet.")),
      section("Discoveries", { class: "panel" }, board.discoveries.length ? discoveryTable(board.discoveries) : h("p", { class: "faint" }, "None yet.")));
  }
  return { title: "Board", element, start: refresh, refresh };
}
