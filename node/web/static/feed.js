// The feed: events, the latest first, with a filter; live ones come in at the top.

import { get } from "./api.js";
import { h, printable, said } from "./dom.js";
import { REPLICATIONS, VERDICTS, changeText, clock, count, isKept, percent, value, who } from "./format.js";

const MOST = 400;
const SHOWS = [["all", "All"], ["findings", "Kept"], ["own", "Own"], ["ideas", "Ideas"], ["failures", "Crashes"]];
const QUIET = new Set(["trial", "peer", "sync", "listening"]);

/** [mark, word, class, what it says, figures] of an event; null for one that the page does not show. */
function words(event) {
  const text = (t) => said(t);
  switch (event.event) {
    case "result": {
      const [mark, word, kind] = (event.replicates ? REPLICATIONS : VERDICTS)[event.verdict];
      const figures = [];
      if (event.value !== null && event.parent_value !== null) {
        figures.push(h("span", {}, `${value(event.parent_value)} → ${value(event.value)}`));
        figures.push(h("span", { class: isKept(event.verdict) ? "good" : "" }, percent(event.relative)));
        figures.push(count(event.seeds.length, "seed"));
      } else if (event.reason) figures.push(said(event.reason));
      if (event.replicates) figures.push(h("span", {}, "found by ", said(event.replicates_of)));
      return [mark, word, kind, text(changeText(event.change, event.edits)), figures];
    }
    case "calibration": return ["≈", "calibrated", "faint", `noise, on ${count(Object.keys(event.values).length, "seed")}: ${Object.values(event.values).map(value).join(", ")}`, []];
    case "hypothesis": return ["?", "idea", "warn", text(event.text), []];
    case "insight": return ["!", "insight", "accent", text(event.text), []];
    case "profile": return ["☺", "hello", "faint", text(event.device), []];
    case "confirmed": return ["★", "confirmed", "gold", text(changeText(event.change, event.edits)), [`kept by ${count(event.keepers, "node")}`]];
    case "model": return ["✎", "model", "faint", text(`asked ${event.model}: ${count(event.tokens, "token")}${event.total.usd ? `, $${event.usd.toFixed(4)}; today $${event.today.usd.toFixed(4)}` : ""}`), []];
    case "note": return ["i", "note", "faint", text(event.text), []];
    case "trouble": return ["⚠", "trouble", "warn", text(`${event.what}: ${event.why}`), []];
    case "stopped": return ["■", "stopped", "ink", text(event.text), []];
    default: return null;
  }
}

function line(event) {
  const shown = words(event);
  if (!shown) return null;
  const [mark, word, kind, what, figures] = shown;
  const brief = kind === "faint";
  const item = h("li", { class: `event ${kind}${brief ? " brief" : ""}${event.own ? " mine" : ""}` },
    h("span", { class: "mark", "aria-hidden": "true" }, mark),
    h("div", { class: "what" },
      h("div", { class: "head" }, h("span", { class: "word" }, word), who(event.who, event.own), brief && event.relative ? h("span", { class: "faint" }, percent(event.relative)) : null, clock(event.time_ms)),
      h("div", { class: "body" }, event.id ? h("a", { href: `#/record/${event.id}` }, what) : what),
      figures.length && !brief ? h("div", { class: "figures" }, figures.map((f) => h("span", {}, f))) : null));
  item.dataset.text = printable(`${event.who} ${item.textContent}`).toLowerCase();
  return item;
}

function fits(event, show) {
  switch (show) {
    case "findings": return event.event === "result" && isKept(event.verdict);
    case "own": return event.own;
    case "ideas": return event.event === "hypothesis" || event.event === "insight";
    case "failures": return event.event === "result" && event.verdict === "crash";
    default: return true;
  }
}

/** The feed as an element, and what to do with a live event. */
export function feedList() {
  let show = "all";
  let next = null;
  let generation = 0;
  const list = h("ol", { class: "feed", "aria-live": "polite", "aria-relevant": "additions", "aria-label": "Events, the latest first" });
  const older = h("button", { type: "button", class: "quiet", onclick: () => load(false) }, "Older");
  const empty = h("p", { class: "faint", hidden: true }, "Nothing here yet.");
  const search = h("input", { type: "search", placeholder: "find a knob, a node, a word", "aria-label": "Find in the feed", oninput: () => sift() });
  const filters = h("div", { class: "segments", role: "group", "aria-label": "Which events" }, SHOWS.map(([name, title]) => (
    h("button", { type: "button", "aria-pressed": String(name === show), onclick: (event) => {
      show = name;
      for (const button of filters.children) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      load(true);
    } }, title))));

  function sift() {
    const wanted = search.value.toLowerCase().trim();
    for (const item of list.children) item.hidden = !item.dataset.text.includes(wanted);
  }

  async function load(anew) {
    const mine = anew ? ++generation : generation;
    const page = await get(`feed?show=${show}&limit=60${!anew && next ? `&before=${next}` : ""}`);
    if (mine !== generation) return;
    const items = page.events.filter((event) => !QUIET.has(event.event)).map(line).filter(Boolean);
    if (anew) {
      list.setAttribute("aria-live", "off");  // a filter is no news
      list.replaceChildren(...items);
      setTimeout(() => list.setAttribute("aria-live", "polite"), 500);
    } else list.append(...items);
    next = page.next;
    older.hidden = next === null;
    empty.hidden = list.children.length > 0;
    sift();
  }

  return {
    element: h("div", { class: "feedbox" }, h("div", { class: "controls" }, filters, search), h("div", { class: "feedscroll", tabindex: "0", role: "region", "aria-label": "Feed" }, list, empty, older)),
    load: () => load(true),
    add(event) {
      if (QUIET.has(event.event) || !fits(event, show)) return;
      const item = line(event);
      if (!item) return;
      item.classList.add("new");
      list.prepend(item);
      while (list.children.length > MOST) list.lastChild.remove();
      empty.hidden = true;
      sift();
    },
  };
}

