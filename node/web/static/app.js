// The page: which view is shown, when it is fetched anew, and whether the node is there.

import { Refused, Unreachable, get, listen } from "./api.js";
import { boardView } from "./board.js";
import { discoveryView } from "./discovery.js";
import { h, said } from "./dom.js";
import { effectsView } from "./effects.js";
import { nodesView } from "./nodes.js";
import { notebookView } from "./notebook.js";
import { overview } from "./overview.js";
import { recordView } from "./record.js";

const APART_MS = 2000;  // between two fetches of the whole view while events come in
const POLL_MS = 30_000;
const VIEWS = { "": overview, board: boardView, effects: effectsView, notebook: notebookView, nodes: nodesView };
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const state = document.getElementById("state");
let view = null;
let waiting = null;
let there = true;

function route() {
  const [name, id] = location.hash.replace(/^#\//, "").split("/");
  if (name === "record" && /^[0-9a-f]{4,64}$/.test(id ?? "")) return recordView(id);
  if (name === "discovery" && /^[0-9a-f]{4,64}$/.test(id ?? "")) return discoveryView(id);
  return (VIEWS[name] ?? overview)();
}

async function show() {
  view = route();
  const shown = view;
  document.title = `${view.title} · arnode`;
  const name = location.hash.split("/")[1] ?? "";
  for (const link of document.querySelectorAll("#views a")) {
    if (link.getAttribute("href") === `#/${name}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren(view.element);
  await attempt(() => shown.start());
  window.scrollTo(0, 0);
}

/** Do what asks the node, and say it where the node is gone or will not answer. */
async function attempt(ask) {
  try {
    await ask();
    reached();
  } catch (error) {
    if (error instanceof Unreachable) lost();
    else if (error instanceof Refused) main.replaceChildren(h("h1", {}, "Not found"), h("p", {}, said(error.message)), h("p", {}, h("a", { href: "#/" }, "To the overview")));
    else throw error;
  }
}

function reached() {
  there = true;
  banner.hidden = true;
  document.body.classList.remove("stale");
  state.textContent = "live";
  state.className = "state live";
}

function lost() {
  if (!there) return;
  there = false;
  banner.textContent = "The node has stopped, or cannot be reached. What is shown is what it said last; trying again.";
  banner.hidden = false;
  document.body.classList.add("stale");
  state.textContent = "node stopped";
  state.className = "state";
}

/** Fetch the view anew soon, however many events ask for it. */
function soon(ask = () => view.refresh?.()) {
  waiting ??= setTimeout(() => {
    waiting = null;
    attempt(ask);
  }, APART_MS);
}

async function introduce() {
  const status = await get("status");
  const line = document.getElementById("who");
  line.replaceChildren(said(status.node.alias, { class: "node own" }), " on ", said(status.task.name), " in ", said(status.swarm.name), status.swarm.private ? " (private)" : "");
  line.title = status.node.author;
}

/** Charts take their colours when they are drawn. */
const repaint = () => attempt(() => view.refresh?.());

function theme() {
  const kept = localStorage.getItem("theme");
  if (kept) document.documentElement.dataset.theme = kept;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  document.getElementById("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
    localStorage.setItem("theme", document.documentElement.dataset.theme);
    repaint();
  });
  dark.addEventListener("change", repaint);
}

theme();
window.addEventListener("hashchange", () => show().then(() => main.focus({ preventScroll: true })));
show();
attempt(introduce);
let first = true;
listen({
  event(event) {
    view.event?.(event);
    if (!["trial", "note", "sync"].includes(event.event)) soon();
    if (event.event === "stopped") lost();
  },
  nudge(kind) {
    if (kind === "progress") view.progress?.().catch(() => {});
    else if (kind === "reset") { attempt(introduce); soon(() => (view.reload ?? view.refresh ?? view.start)()); } else soon();
  },
  up() {
    if (!first && !there) attempt(() => (view.reload ?? view.refresh ?? view.start)());
    first = false;
    reached();
  },
  down: lost,
});
setInterval(() => soon(), POLL_MS);
