// The first view: what happened, in two sentences, four figures, one picture and the feed.

import { get } from "./api.js";
import { h, said, section } from "./dom.js";
import { ago, count, duration, percent, value } from "./format.js";
import { feedList } from "./feed.js";
import { progressChart } from "./progress.js";
import { discoveryTable } from "./tables.js";
import { trialPanel } from "./trial.js";

export function overview() {
  const head = h("div", { class: "headline" });
  const tiles = h("dl", { class: "tiles" });
  const chart = progressChart();
  const feed = feedList();
  const trial = trialPanel();
  const found = h("div", {});
  const element = h("div", { class: "overview" },
    h("div", { class: "summary" }, head, tiles),
    section("Progress", { class: "panel progress" }, chart.element),
    section("Feed", { class: "panel side" }, feed.element),
    section("Discoveries", { class: "panel found" }, found, h("p", { class: "more" }, h("a", { href: "#/board" }, "The whole board"))),
    trial.element);
  const showTrial = async () => trial.update(await get("trial"));

  async function refresh() {
    const [status, progress, board] = await Promise.all([get("status"), get("progress"), get("board")]);
    head.replaceChildren(...headline(status));
    tiles.replaceChildren(...figures(status));
    chart.update(progress);
    found.replaceChildren(board.discoveries.length ? discoveryTable(board.discoveries, 8) : h("p", { class: "faint" }, "None yet."));
    await showTrial();
  }

  return {
    title: "Overview", element,
    start: () => Promise.all([refresh(), feed.load()]),
    refresh,
    reload: () => Promise.all([refresh(), feed.load()]),
    event: (event) => feed.add(event),
    progress: showTrial,
  };
}

function headline(status) {
  const [first, ...rest] = status.headline.sentences;
  const { day } = status.headline;
  const lately = day.experiments
    ? `In the last 24 hours: ${count(day.experiments, "experiment")}, ${count(day.discoveries, "discovery")}, ${day.confirmed} of them confirmed.`
    : "Nothing ended in the last 24 hours.";
  return [
    h("h1", {}, said(first)),
    rest.map((text) => h("p", { class: "second" }, said(text), " ", status.headline.discovery ? h("a", { href: `#/discovery/${status.headline.discovery}` }, "How it spread") : null, status.headline.found_ms ? [", found ", ago(status.headline.found_ms)] : "")),
    h("p", { class: "faint" }, lately),
  ].flat();
}

/** What ends this node's run, or how much it has done where nothing does. */
function howLong({ counts, limits, now_ms }) {
  if (limits.until !== null) return `until ${value(limits.until)}`;
  if (limits.ends_ms) return `${duration(limits.ends_ms - now_ms)} left`;
  if (limits.experiments !== null) return `${limits.done} of ${limits.experiments}`;
  return `${counts.own_experiments.toLocaleString("en")} of them here`;
}

function figures(status) {
  const { best, counts } = status;
  const tile = (name, main, small) => h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, main), small ? h("span", {}, small) : null));
  return [
    tile("Best here", value(best.value ?? best.baseline), best.relative === null ? "the task's own program" : percent(best.relative)),
    tile("Experiments", counts.experiments.toLocaleString("en"), howLong(status)),
    tile("Discoveries", counts.discoveries.toLocaleString("en"), `${counts.confirmed} confirmed, ${counts.refuted} refuted`),
    tile("Adopted here", String(counts.own_adoptions), `${count(counts.own_discoveries, "find")} of its own`),
    tile("Nodes", String(Math.max(1, status.swarm.authors)), `${status.swarm.connected} connected now`),
  ];
}
