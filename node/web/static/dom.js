// Elements. Whatever comes from records goes in as text, never as markup; what could steer the eye is made visible.

// control, format (text direction among them), surrogates, private use, unassigned, line and paragraph separators:
// the same as node/events.py replaces for terminals
const STEERING = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\u2028\u2029]/gu;

/** The text with characters that could reorder or hide what a person reads replaced one by one. */
export const printable = (text) => String(text).replace(STEERING, "·");

/** An element. Attributes that are functions are listeners (`onclick`); null, undefined and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Text that somebody else wrote: printable, and its direction cannot reach what stands beside it. */
export const said = (text, attributes = {}) => h("bdi", attributes, printable(text ?? ""));

/** A table. The caption is for who does not see the heading above it. columns: [title, class]; rows: cells, or {cells, class}. */
export function table(caption, columns, rows, attributes = {}) {
  const head = h("tr", {}, columns.map(([title, kind]) => h("th", { scope: "col", class: kind }, title)));
  const body = rows.map((row) => {
    const cells = row.cells ?? row;
    return h("tr", { class: row.class }, cells.map((cell, i) => (
      i === 0 ? h("th", { scope: "row", class: columns[i][1] }, cell) : h("td", { class: columns[i][1] }, cell ?? "–")
    )));
  });
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", attributes, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, body)));
}

/** A section with its heading. */
export function section(title, attributes, ...children) {
  const id = `h-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { "aria-labelledby": id, ...attributes }, h("h2", { id }, title), ...children);
}

/** A list of facts: [name, value] pairs; empty ones are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
