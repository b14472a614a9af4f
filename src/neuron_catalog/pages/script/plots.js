"use strict";
// How numbers are spread: bars over a logarithmic scale, and zeros in a bar of their own.
const SHAPE = { width: 400, height: 132, left: 6, right: 6, top: 20, bottom: 24, zero: 34 };
const STEPS = 4; // bars for each power of ten

function binned(values, markAt) {
  const above = values.filter((value) => value > 0);
  const edges = markAt === null ? above : [...above, markAt];
  const powers = edges.map((value) => Math.log10(Math.min(Math.max(value, 1e-30), 1e30)));
  const low = Math.floor(powers.reduce((a, b) => Math.min(a, b), Infinity));
  const high = Math.max(Math.ceil(powers.reduce((a, b) => Math.max(a, b), -Infinity) + 1e-9), low + 1);
  const count = (high - low) * STEPS;
  const bins = new Array(count).fill(0);
  for (let place = 0; place < above.length; place += 1) {
    bins[Math.min(Math.max(Math.floor((powers[place] - low) * STEPS), 0), count - 1)] += 1;
  }
  return { low, high, bins, zeros: values.length - above.length };
}

function plotLabel(value, unit) {
  return unit ? withUnit(value, unit) : rounded(value);
}

function axis(low, high, x, unit) {
  const every = Math.ceil((high - low) / 5);
  const y = SHAPE.height - SHAPE.bottom;
  const made = [drawn("line", { class: "axis", x1: SHAPE.left, x2: SHAPE.width - SHAPE.right, y1: y, y2: y })];
  for (let power = low; power <= high; power += every) {
    const anchor = power === low ? "start" : power === high ? "end" : "middle";
    const told = unit === "s" && power < 0 ? `${rounded(10 ** power)} s` : plotLabel(10 ** power, unit).replace(".0 s", " s");
    made.push(drawn("text", { x: x(power), y: y + 16, "text-anchor": anchor }, told));
  }
  return made;
}

function histogram(plot, values) {
  const { low, high, bins, zeros } = binned(values, plot.mark);
  const unit = columns.get(plot.key).unit;
  const start = SHAPE.left + (zeros ? SHAPE.zero : 0);
  const x = (power) => start + ((power - low) / (high - low)) * (SHAPE.width - SHAPE.right - start);
  const most = Math.max(zeros, ...bins);
  const base = SHAPE.height - SHAPE.bottom;
  const tall = (count) => (count ? Math.max((count / most) * (base - SHAPE.top), 2) : 0);
  const bar = (left, width, count, told, over) =>
    drawn("rect", { class: over ? "over" : "within", x: left, y: base - tall(count), width, height: tall(count), rx: 1 }, drawn("title", {}, told));
  const made = axis(low, high, x, unit);
  if (zeros) {
    made.push(bar(SHAPE.left, 18, zeros, `${whole.format(zeros)}: 0`, false));
    made.push(drawn("text", { x: SHAPE.left + 9, y: base + 16, "text-anchor": "middle" }, "0"));
  }
  bins.forEach((count, place) => {
    const from = low + place / STEPS;
    const told = `${whole.format(count)}: ${plotLabel(10 ** from, unit)} to ${plotLabel(10 ** (from + 1 / STEPS), unit)}`;
    const over = plot.mark !== null && from >= Math.log10(plot.mark) - 1e-9;
    if (count) made.push(bar(x(from) + 0.5, Math.max(x(from + 1 / STEPS) - x(from) - 1, 1), count, told, over));
  });
  if (plot.mark !== null) made.push(...limitLine(x(Math.log10(plot.mark)), base));
  return drawn("svg", { viewBox: `0 0 ${SHAPE.width} ${SHAPE.height}`, class: "plot", "aria-hidden": "true" }, ...made);
}

function limitLine(x, base) {
  const left = x > SHAPE.width / 2;
  return [
    drawn("line", { class: "limit", x1: x, x2: x, y1: 6, y2: base }),
    drawn("text", { class: "limit-text", x: x + (left ? -5 : 5), y: 14, "text-anchor": left ? "end" : "start" }, "allowed"),
  ];
}

function plotElement(plot) {
  const column = columns.get(plot.key);
  const values = column.values.filter((value) => value !== null && value >= 0).sort((a, b) => a - b);
  if (!values.length) return null;
  const unit = column.unit;
  const middle = values[Math.floor((values.length - 1) / 2)];
  const above = plot.mark === null ? "" : `, ${whole.format(values.filter((value) => value > plot.mark).length)} above what is allowed`;
  const told = `${counted(values.length, page.noun)}: median ${plotLabel(middle, unit)}, largest ${plotLabel(values.at(-1), unit)}${above}`;
  return element("figure", {}, element("figcaption", {}, element("h3", {}, plot.title), element("p", {}, told)), histogram(plot, values));
}

function startPlots() {
  const made = page.plots.map(plotElement).filter(Boolean);
  if (!made.length) return;
  at("plots").append(...made);
  at("plots").hidden = false;
}
