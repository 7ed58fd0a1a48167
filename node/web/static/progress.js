// The progress chart: every experiment as a point, what was kept as steps, with noise band, floor and best known.

import { axis, colour, draw, figure, label, onPoint } from "./chart.js";
import { h, said, table } from "./dom.js";
import { clock, count, isKept, shortId, value, who } from "./format.js";

let by = "number";
let closer = false;

export function progressChart() {
  const shown = figure("Progress: value of every experiment");
  let data = null;
  const choose = (axisName) => h("button", { type: "button", "aria-pressed": String(by === axisName), onclick: () => {
    by = axisName;
    for (const button of choices.children) button.setAttribute("aria-pressed", String(button.dataset.by === by));
    if (data) render(shown, data);
  }, "data-by": axisName }, axisName === "number" ? "by experiment" : "by time");
  const choices = h("div", { class: "segments", role: "group", "aria-label": "Horizontal axis" }, choose("number"), choose("time"));
  const zoom = h("button", { type: "button", "aria-pressed": String(closer), onclick: () => {
    closer = !closer;
    zoom.setAttribute("aria-pressed", String(closer));
    if (data) outside.textContent = render(shown, data);
  } }, "closer to the best");
  const controls = h("div", { class: "controls" }, choices, h("div", { class: "segments" }, zoom));
  const outside = h("p", { class: "note", role: "note" });
  return {
    element: h("div", {}, controls, shown.element, outside),
    update: (fresh) => {
      data = fresh;
      outside.textContent = render(shown, data);
    },
  };
}

/** Draw; returns what is to be said below the chart. */
function render(shown, data) {
  const x = (i) => (by === "number" ? data.points.number[i] : new Date(data.points.time_ms[i]));
  const stepX = (step) => (by === "number" ? step.number : new Date(step.time_ms));
  const range = visible(data);
  const groups = { "tried": [], "kept": [], "kept here": [], "crashed": [] };
  let off = 0;
  data.points.verdict.forEach((verdict, i) => {
    const own = data.authors[data.points.author[i]].own;
    const at = data.points.value[i];
    if (at !== null && (at < range[0] || at > range[1])) off += 1;
    groups[verdict === "crash" || at === null ? "crashed" : isKept(verdict) ? (own ? "kept here" : "kept") : "tried"].push(i);
  });
  const worst = data.direction === "minimize" ? range[1] : range[0];
  const points = (name, marker) => ({
    type: "scatter", mode: "markers", name,
    x: groups[name].map(x),
    y: groups[name].map((i) => (name === "crashed" ? worst : data.points.value[i])),
    customdata: groups[name].map((i) => data.points.id[i]),
    text: groups[name].map((i) => `${name === "crashed" ? "crash" : value(data.points.value[i])} · ${label(data.authors[data.points.author[i]].alias, 24)}`),
    hoverinfo: "text", marker, cliponaxis: name !== "crashed",
  });
  const end = data.points.number.length ? x(data.points.number.length - 1) : null;
  const line = (name, steps, shape) => ({
    type: "scatter", mode: "lines", name,
    x: [...steps.map(stepX), ...(steps.length && end !== null ? [end] : [])],
    y: [...steps.map((s) => s.value), ...(steps.length && end !== null ? [steps.at(-1).value] : [])],
    customdata: [...steps.map((s) => s.id), ...(steps.length ? [steps.at(-1).id] : [])],
    text: [...steps.map((s) => `${value(s.value)} · ${label(s.text)}`), ...(steps.length ? [`now ${value(steps.at(-1).value)}`] : [])],
    hoverinfo: "text", line: { shape: "hv", ...shape },
  });
  const start = { number: 0, time_ms: data.points.time_ms[0], value: data.baseline, text: "the task's own program", id: data.points.id[0] };
  const from = (steps) => (data.baseline !== null && steps.length ? [start, ...steps] : steps);
  const traces = [
    points("tried", { size: 4, color: colour("faint", 0.55), line: { width: 0 } }),
    points("crashed", { size: 6, symbol: "x-thin", line: { width: 1.3, color: colour("bad", 0.7) } }),
    points("kept", { size: 6, color: colour("good", 0.85), line: { width: 0 } }),
    points("kept here", { size: 7, color: colour("accent"), line: { width: 0 } }),
    line("best believed", from(data.swarm), { color: colour("good"), width: 1.6, dash: "dot" }),
    line("best here", from(data.own), { color: colour("accent"), width: 2.2 }),
  ].filter((trace) => trace.x.length);
  const marks = levels(data, range);
  draw(shown, traces, {
    xaxis: axis(by === "number" ? "experiment" : "", by === "number" ? { rangemode: "tozero" } : { type: "date" }),
    yaxis: axis(innerWidth < 620 ? "" : `${label(data.metric)}${data.unit ? ` (${label(data.unit)})` : ""}`, { range }),
    shapes: marks.shapes, annotations: marks.annotations, uirevision: `${by} ${closer}`,
  }, stepTable(data), describe(data)).then(() => onPoint(shown.plot, (point) => { location.hash = `#/record/${point.customdata}`; }));
  const said = [];
  if (off) said.push(`${count(off, "point")} outside the picture`);
  if (data.of > data.points.number.length) said.push(`${data.points.number.length.toLocaleString("en")} of ${count(data.of, "experiment")} drawn, every kept one among them`);
  return said.join(" · ");
}

/** The part of the axis worth seeing: the steps and the program's own value, and a little of what was worse. */
function visible(data) {
  const less = data.direction === "minimize";
  const late = data.of * 0.3;
  const recent = [...data.swarm, ...data.own].filter((s) => s.number >= late);
  const some = closer && recent.length > 1;
  const steps = (some ? recent : [...data.swarm, ...data.own]).map((s) => s.value);
  const believable = data.points.value.filter((v) => v !== null && Math.abs(v) < 1e6).sort((a, b) => a - b);
  const middle = believable.slice(Math.floor(believable.length * 0.1), Math.ceil(believable.length * 0.9));
  let all = [...steps, ...(data.baseline === null || some ? [] : [data.baseline]), ...(steps.length > 1 ? [] : middle)];
  if (!all.length) all = [0, 1];
  let low = Math.min(...all);
  let high = Math.max(...all);
  const span = high - low || Math.abs(high) * 0.1 || 1;
  if (less) high += span * 0.6; else low -= span * 0.6;
  if (less) low -= span * 0.08; else high += span * 0.08;
  for (const level of [data.floor, data.known_best?.value]) {
    if (level !== null && level !== undefined && level > low - span && level < high + span) {
      low = Math.min(low, level - span * 0.05);
      high = Math.max(high, level + span * 0.05);
    }
  }
  return [low, high];
}

/** Floor, best known, the program's own value, and the noise around this node's best. */
function levels(data, range) {
  const shapes = [];
  const annotations = [];
  const level = (at, text, name, dash) => {
    if (at === null || at === undefined || at < range[0] || at > range[1]) return;
    shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: at, y1: at, line: { color: colour(name, 0.8), width: 1, dash }, layer: "below" });
    annotations.push({ xref: "paper", x: 1, xanchor: "right", y: at, yanchor: "bottom", text, showarrow: false, font: { size: 11, color: colour("soft") } });
  };
  level(data.floor, `floor ${value(data.floor)}`, "soft", "dash");
  level(data.known_best?.value, `best known ${value(data.known_best?.value)}`, "warn", "dash");
  level(data.baseline, `baseline ${value(data.baseline)}`, "soft", "dot");
  const best = data.own.at(-1)?.value ?? data.baseline;
  if (best !== null && best !== undefined) {
    shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: best - 2 * data.noise, y1: best + 2 * data.noise, fillcolor: colour("accent", 0.09), line: { width: 0 }, layer: "below" });
  }
  return { shapes, annotations };
}

function describe(data) {
  const best = data.own.at(-1);
  const ends = best ? `This node's best went from ${value(data.baseline)} to ${value(best.value)} in ${count(data.own.length, "step")}.` : "This node has kept nothing yet.";
  return `Progress of ${data.metric} over ${count(data.of, "experiment")}. ${ends} The shaded band is two deviations of a trial's noise around it.`;
}

function stepTable(data) {
  const rows = [...data.swarm.map((s) => ({ ...s, line: "best believed" })), ...data.own.map((s) => ({ ...s, line: "best here" }))]
    .sort((a, b) => a.number - b.number)
    .map((s) => [clock(s.time_ms), s.line, value(s.value), said(s.text), who(s.alias, s.own), shortId(s.id)]);
  return table("Steps of the best value", [["time"], ["line"], ["value", "n"], ["change"], ["by"], ["record"]], rows);
}
