// This node's own trials under way, with the loss curve of the one that says most.

import { axis, colour, draw, figure, label } from "./chart.js";
import { h, said, section, table } from "./dom.js";
import { duration, number, value } from "./format.js";

export function trialPanel() {
  const shown = figure("Loss of the trial under way", "low");
  const text = h("div", { class: "trials" });
  return {
    element: section("Trial under way here", { class: "panel" }, text, shown.element),
    update(data) {
      const running = data.running.length ? data.running : data.last ? [data.last] : [];
      text.replaceChildren(...(running.length ? running.map((trial) => bar(trial, !data.running.length)) : [
        h("p", { class: "faint" }, data.activity ? said(data.activity) : "No trial is running on this node."),
      ]));
      const curves = running.filter((trial) => trial.curve.length > 1);
      shown.element.hidden = !curves.length;
      if (!curves.length) return;
      const strokes = ["accent", "soft", "good", "warn"];
      draw(shown, curves.map((trial, i) => ({
        type: "scatter", mode: "lines", name: label(trial.label, 40),
        x: trial.curve.map(([f]) => f * 100), y: trial.curve.map(([, loss]) => loss),
        line: { color: colour(strokes[i % strokes.length]), width: 1.8 }, hovertemplate: "%{y:.4f} at %{x:.0f}%<extra></extra>",
      })), {
        xaxis: axis("% of the budget", { range: [0, 100] }), yaxis: axis("loss"), showlegend: curves.length > 1,
      }, table("Loss by share of the budget", [["share", "n"], ["loss", "n"]], curves[0].curve.filter((_, i, all) => i % Math.ceil(all.length / 20) === 0).map(([f, loss]) => [`${(f * 100).toFixed(0)}%`, value(loss)])),
      `Loss of ${curves.map((trial) => trial.label).join(" and ")} over the budget, now ${value(curves[0].loss)}`);
    },
  };
}

function bar(trial, ended) {
  const share = Math.round(trial.fraction * 100);
  const figures = [
    trial.loss === null ? null : `loss ${trial.loss.toFixed(3)}`,
    trial.tokens_per_second === null ? null : `${number(Math.round(trial.tokens_per_second / 100) * 100)} tok/s`,
    ended ? "ended" : trial.seconds_left === null ? null : `${duration(trial.seconds_left * 1000)} left`,
  ].filter(Boolean);
  return h("div", { class: "running" },
    said(trial.label, { class: "label" }),
    h("progress", { max: "100", value: String(share), "aria-label": "share of the budget" }, `${share}%`),
    h("span", { class: "figures" }, `${share}%`, figures.map((f) => h("span", {}, f))));
}
