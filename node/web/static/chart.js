// Charts by plotly, in the page's colours, each with a text that says what it shows and a table of the same.
// Plotly reads a little markup in texts (<a>, <br>): texts of records are escaped before it gets them.

import { h, printable } from "./dom.js";

/** plotly.js, once it is there: 5 MB, which come after the page and which the rest of it does not wait for. */
const plotly = new Promise((done, failed) => {
  const script = document.getElementById("plotly");
  if (window.Plotly) done(window.Plotly);
  script.addEventListener("load", () => done(window.Plotly));
  script.addEventListener("error", () => failed(new Error("plotly.js did not load")));
});
plotly.catch(() => {});  // told where a chart should have been

/** Text of a record as a label: printable, bounded, and free of markup. */
export function label(text, length = 60) {
  const plain = printable(text);
  const cut = plain.length > length ? `${plain.slice(0, length - 1)}…` : plain;
  return cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/** The page's colour of that name as plotly understands it. */
export function colour(name, alpha = 1) {
  const probe = h("span", { hidden: true });
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g);
  probe.remove();
  return `rgba(${r}, ${g}, ${b}, ${alpha})`;
}

/** An empty chart: a figure with a name, a place to draw, and room for the table of the same. */
export function figure(name, height = "tall") {
  const plot = h("div", { class: `plot ${height}`, role: "img", "aria-label": name });
  const rest = h("details", { class: "alternative" }, h("summary", {}, "The same as a table"));
  return { element: h("figure", { class: "chart" }, plot, rest), plot, rest };
}

/** Draw, or draw anew, keeping what a person zoomed into. Says so where plotly cannot be had. */
export async function draw({ plot, rest }, traces, layout, alternative, describe) {
  if (alternative) rest.replaceChildren(rest.firstChild, alternative);
  if (describe) plot.setAttribute("aria-label", describe);
  try {
    const Plotly = await plotly;
    await Plotly.react(plot, traces, { ...base(), ...layout }, { displayModeBar: false, responsive: true, showTips: false });
    plot.dataset.ink = colour("ink");
  } catch (error) {
    plot.replaceChildren(h("p", { class: "faint" }, `No chart: ${error.message}. The table below has the same.`));
    rest.open = true;
  }
}

/** Call back when somebody chooses a point; draw the chart first. */
export function onPoint(plot, choose) {
  if (plot.on && !plot.dataset.listens) {
    plot.dataset.listens = "yes";
    plot.on("plotly_click", (event) => choose(event.points[0]));
  }
}

export function axis(title, more = {}) {
  const line = colour("line");
  return { title: { text: title, standoff: 8, font: { size: 12 } }, tickfont: { size: innerWidth < 620 ? 10 : 12 }, gridcolor: line, linecolor: line, zeroline: false, automargin: true, ticks: "", ...more };
}

function base() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("soft") },
    margin: { l: 8, r: 10, t: 8, b: 8 },
    hovermode: "closest",
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("line"), font: { color: colour("ink") } },
    showlegend: true,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } },
    dragmode: false,
    uirevision: "keep",
  };
}
