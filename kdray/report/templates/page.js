"use strict";
// Sorting is an extra: the headings become buttons only where this runs.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const words = cell.dataset.key ?? cell.textContent.trim();
    return { words, value: words === "" ? NaN : Number(words), missing: cell.classList.contains("missing") };
  };
  const compare = (a, b) =>
    Number.isNaN(a.value) || Number.isNaN(b.value) ? a.words.localeCompare(b.words) : a.value - b.value;
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const rows = Array.from(body.rows, (row) => ({ row, key: keyOf(row, column) }));
      rows.sort((a, b) => a.key.missing - b.key.missing || sign * compare(a.key, b.key));
      body.append(...rows.map((entry) => entry.row));
    });
  });
}
addEventListener("beforeprint", () => document.querySelectorAll("section > details").forEach((each) => { each.open = true; }));
// Figures: the colors of the light page are replaced by those of the page as it is shown.
const plots = Array.from(document.querySelectorAll(".plot"), (place) => ({ place, json: place.firstElementChild.textContent }));
const COLORS = { "#1b1f24": "--ink", "#59626e": "--quiet-ink", "#d9dde3": "--line", "#a9b1bb": "--faint", "#0072b2": "--blue",
  "#a36a00": "--amber", "#c44900": "--orange", "#00805f": "--green" };
const shown = (json) => {
  const style = getComputedStyle(document.documentElement);
  return JSON.parse(json.replace(/#[0-9a-f]{6}(?=")/g, (color) => style.getPropertyValue(COLORS[color] ?? "").trim() || color));
};
const config = { displayModeBar: false, displaylogo: false, plotlyServerURL: "" };
const draw = () => {
  const template = document.getElementById("plot-template").textContent;
  for (const { place, json } of plots) {
    const { data, layout } = shown(json);
    const small = place.clientWidth < 420 ? { size: 11 } : {};
    for (const axis of [layout.xaxis, layout.yaxis]) axis.title = { ...axis.title, font: small };
    Plotly.react(place, data, { ...layout, template: shown(template) }, config);
  }
};
const redraw = () => {  // also in another width, which drawing alone does not take
  draw();
  plots.forEach(({ place }) => Plotly.Plots.resize(place));
};
if (plots.length && typeof Plotly === "undefined") {
  const file = document.querySelector("script[src]").getAttribute("src");
  for (const { place } of plots) {
    place.textContent = `This figure needs the file ${file}, which was not found. The numbers are in the tables.`;
    place.classList.add("absent");
  }
} else if (plots.length) {
  for (const { place } of plots) place.replaceChildren();
  draw();
  // When a phone is turned or a window gets another width; not by the height, which drawing changes.
  let width = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    const now = document.documentElement.clientWidth;
    if (now !== width && !matchMedia("print").matches) {
      width = now;
      redraw();
    }
  }).observe(document.documentElement);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // On paper two figures are beside each other; the width of a page that is being printed cannot be measured.
  addEventListener("beforeprint", () => plots.forEach(({ place }) => Plotly.relayout(place, { width: 305, "xaxis.title.font.size": 10, "yaxis.title.font.size": 10 })));
  addEventListener("afterprint", redraw);
}
