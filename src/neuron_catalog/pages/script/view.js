"use strict";
// What is to be seen: words to search, one value for each filter, an order. The address of the page has it all.
const view = { search: "", filters: new Map(), sort: "", down: false, rows: [] };
const watchers = [];

function haystack() {
  if (view.haystack) return view.haystack;
  const searched = page.columns.filter((column) => column.searched);
  const texts = searched.map((column) => column.words.map((word) => word.toLowerCase()));
  view.haystack = Array.from({ length: page.count }, (_, row) =>
    searched.map((column, place) => texts[place][column.values[row]]).join("\n"),
  );
  return view.haystack;
}

function found() {
  const wanted = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  const texts = wanted.length ? haystack() : null;
  const filters = [...view.filters].map(([key, word]) => {
    const column = columns.get(key);
    return [column.values, column.words.indexOf(word)];
  });
  const rows = [];
  for (let row = 0; row < page.count; row += 1) {
    if (!filters.every(([values, wantedPlace]) => values[row] === wantedPlace)) continue;
    if (!wanted.every((word) => texts[row].includes(word))) continue;
    rows.push(row);
  }
  return rows;
}

function sorted(rows) {
  if (!view.sort) return rows;
  const keys = ranks(columns.get(view.sort));
  const sign = view.down ? -1 : 1;
  return rows.sort((one, other) => {
    const a = keys[one];
    const b = keys[other];
    if (a === b || (a !== a && b !== b)) return one - other;
    if (a !== a || b !== b) return a !== a ? 1 : -1;
    return (a - b) * sign;
  });
}

function refresh() {
  view.rows = sorted(found());
  watchers.forEach((watcher) => watcher());
}

function change(changes) {
  Object.assign(view, changes);
  refresh();
  clearTimeout(view.waiting);
  view.waiting = setTimeout(writeAddress, 120); // browsers count how often an address changes
}

function setFilters(pairs) {
  change({ filters: new Map(pairs.filter(([, word]) => word !== null)), search: "" });
}

function toggleFilter(key, word) {
  const filters = new Map(view.filters);
  if (word === null || filters.get(key) === word) filters.delete(key);
  else filters.set(key, word);
  change({ filters });
}

function clearAll() {
  change({ filters: new Map(), search: "" });
}

function writeAddress() {
  const said = new URLSearchParams();
  if (view.search.trim()) said.set("q", view.search.trim());
  for (const [key, word] of view.filters) said.set(`.${key}`, word);
  if (view.sort) said.set("sort", (view.down ? "-" : "") + view.sort);
  const text = said.toString();
  if (text === location.hash.slice(1)) return;
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// What the address says, as far as the page has it.
function readAddress() {
  const said = new URLSearchParams(location.hash.slice(1));
  const filters = new Map();
  for (const [name, word] of said) {
    const column = name.startsWith(".") ? columns.get(name.slice(1)) : null;
    if (column && column.words && column.words.includes(word)) filters.set(column.key, word);
  }
  const sort = said.get("sort") || "";
  const key = sort.replace(/^-/, "");
  Object.assign(view, {
    search: said.get("q") || "",
    filters,
    sort: columns.has(key) ? key : "",
    down: sort.startsWith("-"),
  });
  refresh();
}
