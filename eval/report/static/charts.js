"use strict";
// Plots of one measure, drawn anew for the width they have. With many queries, neighbours are drawn as one.

const MOST_BARS = 300;
const PLOT = { height: 220, left: 44, right: 8, top: 10, bottom: 26 };

/** An empty drawing as wide as its place. */
function drawing(place, height, label) {
  const width = Math.max(240, place.clientWidth || 240);
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  place.replaceChildren(root);
  return { root, width, height };
}

/** A vertical axis: round values from low to high. */
function verticalAxis(root, width, low, high, y) {
  const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((one) => (high - low) / one <= 5) ?? high - low;
  for (let number = Math.ceil(low / step - 1e-9); number * step <= high + 1e-9; number += 1) {
    const value = number * step;
    root.append(
      svg("line", { class: number === 0 ? "zero" : "axis", x1: PLOT.left, x2: width - PLOT.right, y1: y(value), y2: y(value) }),
      svg("text", { x: PLOT.left - 6, y: y(value) + 4, "text-anchor": "end" }, Number(value.toFixed(2)).toString().replace("-", "−")),
    );
  }
}

/** At most `most` groups of neighbours, of nearly equal size. */
function grouped(items, most) {
  if (items.length <= most) return items.map((item) => [item]);
  return Array.from({ length: most }, (_, n) => items.slice(Math.floor((n * items.length) / most), Math.floor(((n + 1) * items.length) / most)));
}

/** Differences to another pipeline, largest gain first. */
function plotChanges(place, changes, names, label) {
  const { root, width, height } = drawing(place, PLOT.height, label);
  const sorted = [...changes].sort((a, b) => b.delta - a.delta);
  const most = Math.max(0.05, ...sorted.map((change) => Math.abs(change.delta)));
  const y = (value) => PLOT.top + ((most - value) / (2 * most)) * (height - PLOT.top - PLOT.bottom);
  verticalAxis(root, width, -most, most, y);
  const groups = grouped(sorted, MOST_BARS);
  const step = (width - PLOT.left - PLOT.right) / groups.length;
  groups.forEach((group, n) => {
    const delta = mean(group.map((change) => change.delta));
    const single = group.length === 1 ? group[0].query : null;
    root.append(svg("rect", {
      class: `${delta > 0 ? "gain" : delta < 0 ? "loss" : "same"}${single === null ? "" : " can-open"}`,
      x: PLOT.left + n * step, width: Math.max(0.6, step * (step > 4 ? 0.8 : 1)),
      y: delta > 0 ? y(delta) : y(0) - (delta === 0 ? 0.75 : 0), height: Math.max(1.5, Math.abs(y(delta) - y(0))),
      onclick: single === null ? () => {} : () => openQuery(single),
    }, svg("title", null, single === null ? `${group.length} queries, on average ${signed(delta)}` : `${names[single]}: ${signed(delta)}`)));
  });
  root.append(svg("text", { x: PLOT.left, y: height - 6 }, "helped most"), svg("text", { x: width - PLOT.right, y: height - 6, "text-anchor": "end" }, "hurt most"));
}

/** Queries from hard to easy: from the worst to the best pipeline, and their mean. */
function plotDifficulty(place, topics, names, high, label) {
  const { root, width, height } = drawing(place, PLOT.height, label);
  const y = (value) => PLOT.top + ((high - value) / high) * (height - PLOT.top - PLOT.bottom);
  verticalAxis(root, width, 0, high, y);
  const groups = grouped(topics, MOST_BARS);
  const step = (width - PLOT.left - PLOT.right) / groups.length;
  groups.forEach((group, n) => {
    const [worst, middle, best] = ["worst", "mean", "best"].map((key) => mean(group.map((topic) => topic[key])));
    const single = group.length === 1 ? group[0].query : null;
    const x = PLOT.left + n * step;
    const wide = Math.max(0.6, step * (step > 4 ? 0.7 : 1));
    root.append(svg("g", { class: single === null ? "" : "can-open", onclick: single === null ? () => {} : () => openQuery(single) },
      svg("rect", { class: "band", x, width: wide, y: y(best), height: Math.max(1, y(worst) - y(best)) }),
      svg("rect", { class: "dot", x, width: wide, y: y(middle) - 1.25, height: 2.5 }),
      svg("title", null, single === null ? `${group.length} queries, mean ${figure(middle)}` : `${names[single]}: mean ${figure(middle)}, from ${figure(worst)} to ${figure(best)}`)));
  });
  root.append(svg("text", { x: PLOT.left, y: height - 6 }, "hardest"), svg("text", { x: width - PLOT.right, y: height - 6, "text-anchor": "end" }, "easiest"));
}

/** For each pipeline, how many queries have which value. */
function plotDistribution(place, rows, high, label) {
  const line = 46;
  const { root, width, height } = drawing(place, rows.length * line + 30, label);
  const left = Math.min(150, width * 0.3);
  const bins = 20;
  const step = (width - left - PLOT.right) / bins;
  const histograms = rows.map((row) => histogram(row.values, bins, high));
  const most = Math.max(1, ...histograms.flat()); // one scale, so that pipelines can be compared
  rows.forEach((row, place) => {
    const base = (place + 1) * line;
    const counts = histograms[place];
    root.append(svg("line", { class: "axis", x1: left, x2: width - PLOT.right, y1: base, y2: base }));
    counts.forEach((count, n) => {
      const tall = (count / most) * (line - 12);
      root.append(svg("rect", { class: "bar", x: left + n * step + 0.5, width: Math.max(1, step - 1), y: base - tall, height: tall },
        svg("title", null, `${counted(count, "query", "queries")} from ${((n / bins) * high).toFixed(2)} to ${(((n + 1) / bins) * high).toFixed(2)}`)));
    });
    const average = left + (mean(row.values) / high) * (width - left - PLOT.right);
    root.append(svg("line", { class: "average", x1: average, x2: average, y1: base - line + 12, y2: base }));
    root.append(shortened(svg("text", { class: "name", x: 0, y: base - 6 }, row.name), row.name, left - 8));
  });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    root.append(svg("text", { x: left + share * (width - left - PLOT.right), y: height - 8, "text-anchor": share === 0 ? "start" : share === 1 ? "end" : "middle" }, Number((share * high).toFixed(2)).toString()));
  }
}

/** How many values fall into each of some equal parts from 0 to high. */
function histogram(values, bins, high) {
  const counts = new Array(bins).fill(0);
  for (const value of values) if (value !== null) counts[Math.max(0, Math.min(bins - 1, Math.floor((value / high) * bins)))] += 1;
  return counts;
}

/** A label that fits, with the whole of it to point at. */
function shortened(text, name, width) {
  const most = Math.max(3, Math.floor(width / 7));
  if (name.length > most) text.textContent = `${name.slice(0, most - 1)}…`;
  text.append(svg("title", null, name));
  return text;
}
