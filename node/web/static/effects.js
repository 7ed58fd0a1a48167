// Effects by knob: a forest plot of what each value is worth, over all who tried it.

import { get } from "./api.js";
import { axis, colour, draw, figure, label } from "./chart.js";
import { h, said, section, table } from "./dom.js";
import { count, knobText, signed } from "./format.js";

const MOST = 40;

export function effectsView() {
  const shown = figure("What each knob's value is worth");
  let only = "clear";
  let data = null;
  const choices = h("div", { class: "segments", role: "group", "aria-label": "Which values" }, [["clear", "Clear ones"], ["all", "All"]].map(([name, title]) => (
    h("button", { type: "button", "aria-pressed": String(name === only), onclick: (event) => {
      only = name;
      for (const button of choices.children) button.setAttribute("aria-pressed", String(button === event.currentTarget));
      render();
    } }, title))));
  const note = h("p", { class: "note" });
  const element = h("div", { class: "stack" }, h("h1", {}, "Effects by knob"),
    h("p", { class: "faint" }, "How much better the metric gets when a knob is set to a value, pooled over all nodes that tried it, with its 95 % interval. Right of zero is better."),
    section("Forest plot", { class: "panel" }, choices, shown.element, note));

  function render() {
    const rows = data.knobs.flatMap((knob) => knob.values.map((v) => ({ ...v, knob: knob.name }))).filter((v) => v.mean !== null);
    const clear = rows.filter((v) => v.low > 0 || v.high < 0);
    const wanted = only === "clear" ? (clear.length ? clear : rows) : rows;
    const picked = [...wanted].sort((a, b) => b.mean - a.mean).filter((_, i, all) => i < MOST / 2 || i >= all.length - MOST / 2);
    note.textContent = picked.length < wanted.length ? `The ${picked.length} most telling of ${count(wanted.length, "value")} are drawn; the table has all.` : "";
    const names = picked.map((v) => `${label(v.knob, 24)} = ${label(knobText(v.value), 16)}`);
    const kind = (v) => (v.low > 0 ? "good" : v.high < 0 ? "bad" : "soft");
    const groups = [["better", "good"], ["worse", "bad"], ["cannot be told", "soft"]];
    const traces = groups.map(([name, tint]) => {
      const at = picked.map((v, i) => [v, i]).filter(([v]) => kind(v) === tint);
      return {
        type: "scatter", mode: "markers", name,
        x: at.map(([v]) => v.mean), y: at.map(([, i]) => names[i]),
        error_x: { type: "data", symmetric: false, array: at.map(([v]) => v.high - v.mean), arrayminus: at.map(([v]) => v.mean - v.low), thickness: 1.6, width: 3, color: colour(tint, 0.8) },
        text: at.map(([v]) => `${signed(v.mean)} (${signed(v.low)} to ${signed(v.high)}) · ${count(v.authors, "node")}, ${count(v.experiments, "experiment")}`),
        hoverinfo: "text", marker: { size: at.map(([v]) => 5 + 2 * Math.min(4, Math.sqrt(v.authors))), color: colour(tint), symbol: "square", line: { width: 0 } },
      };
    }).filter((trace) => trace.x.length);
    shown.plot.style.height = `${Math.max(200, 70 + 22 * names.length)}px`;
    shown.element.hidden = !picked.length;
    draw(shown, traces, {
      xaxis: axis(`improvement${data.unit ? `, ${label(data.unit)}` : ""}`, { zeroline: true, zerolinecolor: colour("soft"), zerolinewidth: 1, range: reach(picked) }),
      yaxis: axis("", { range: [names.length - 0.4, -0.6], categoryorder: "array", categoryarray: names, gridcolor: colour("line", 0.5) }),
    }, effectTable(data), `${count(clear.length, "value")} of ${rows.length} clearly help or harm. ${picked[0] ? `The best is ${picked[0].knob} = ${knobText(picked[0].value)}, ${signed(picked[0].mean)}.` : ""}`);
  }

  async function refresh() {
    data = await get("effects");
    render();
  }
  return { title: "Effects", element, start: refresh, refresh };
}

/** What is seen at once: the means and their intervals, without the widest tenth. */
function reach(rows) {
  const ends = rows.flatMap((v) => [v.low, v.high]).map(Math.abs).filter((x) => x < 1e6).sort((a, b) => a - b);
  const far = Math.max(ends[Math.floor(ends.length * 0.92)] ?? 1, ...rows.map((v) => Math.abs(v.mean)).filter((x) => x < 1e6));
  return [Math.max(-far, Math.min(...rows.map((v) => v.low), 0)) * 1.05, Math.min(far, Math.max(...rows.map((v) => v.high), 0)) * 1.05];
}

function effectTable(data) {
  const rows = data.knobs.flatMap((knob) => knob.values.map((v) => ({
    class: v.low > 0 ? "better" : v.high < 0 ? "worse" : "",
    cells: [said(knob.name), said(knobText(v.value)), said(knobText(knob.default)), signed(v.mean), v.mean === null ? "–" : `${signed(v.low)} to ${signed(v.high)}`, String(v.authors), String(v.experiments), String(v.crashes)],
  })));
  return table("Effect of every value that was tried", [["knob"], ["value"], ["program has"], ["effect", "n"], ["95 % interval", "n"], ["nodes", "n"], ["experiments", "n"], ["crashes", "n"]], rows);
}
