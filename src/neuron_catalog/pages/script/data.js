"use strict";
// What the page knows: rows are numbers, and a column tells the value of each.
const page = JSON.parse(document.getElementById("data").textContent);
const columns = new Map();
page.columns.forEach((column, place) => {
  const values = page.values[place];
  column.words = values.words || null;
  column.values = values.words ? values.of : values;
  columns.set(column.key, column);
});
const stateColumn = page.columns.find((column) => column.kind === "state");
const stateByName = new Map(page.states.map((state) => [state.name, state]));
const whole = new Intl.NumberFormat("en");
const order = new Intl.Collator("en", { numeric: true }).compare;

function wordOf(column, row) {
  return column.words[column.values[row]];
}

function stateOf(row) {
  return stateByName.get(wordOf(stateColumn, row));
}

function counted(count, noun) {
  return `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

// Two digits that matter: 0.26, 3.1e-4.
function rounded(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 0.001 || size >= 100000) return value.toExponential(1).replace("e+", "e");
  return size >= 100 ? whole.format(Math.round(value)) : String(Number(value.toPrecision(2)));
}

const SCALES = { B: [1000, ["B", "kB", "MB", "GB", "TB"]], MiB: [1024, ["MiB", "GiB", "TiB"]] };

function withUnit(value, unit) {
  if (unit === "s") return `${value < 100 ? value.toFixed(1) : whole.format(Math.round(value))} s`;
  if (!(unit in SCALES)) return rounded(value);
  const [step, names] = SCALES[unit];
  let place = 0;
  while (value >= step && place < names.length - 1) {
    value /= step;
    place += 1;
  }
  return `${place && value < 100 ? value.toFixed(1) : whole.format(Math.round(value))} ${names[place]}`;
}

// What a row has in a column, as text; empty if nothing is known.
function textOf(column, row) {
  if (column.kind === "state") return stateOf(row).word;
  if (column.words) return wordOf(column, row);
  const value = column.values[row];
  if (value === null) return "";
  if (column.kind === "link") return value ? linkOf(column, row) : "";
  return column.kind === "share" ? rounded(value) : withUnit(value, column.unit);
}

// The address of a link. A name of a row is one part of it, whatever signs it has.
function linkOf(column, row) {
  const [before, key, after] = column.link;
  const name = wordOf(columns.get(key), row).toWellFormed();
  return before + encodeURIComponent(name).replaceAll("%2B", "+") + after;
}

function opens(address) {
  return /^(https?|file):/.test(address) || !/^[^/]*:/.test(address);
}

// A number for each row by which a column is sorted; NaN, which comes last, where nothing is known.
function ranks(column) {
  if (column.ranks) return column.ranks;
  let places = null;
  if (column.words && column.kind !== "state") {
    places = new Map(column.words.toSorted(order).map((word, place) => [word, place]));
  }
  column.ranks = Float64Array.from(column.values, (value) => {
    if (places) return column.words[value] === "" ? NaN : places.get(column.words[value]);
    return value === null ? NaN : value;
  });
  return column.ranks;
}
