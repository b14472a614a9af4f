"use strict";
// All rows in little: what they are of stands at the side and above, and a square is one row.
const MOST_SQUARES = 12; // in a cell; more become counts
const MOST_IN_ALL = 1200;
const FEW = 20; // lines that are shown at first

function matrixCells(shape) {
  const across = new Map();
  const down = new Map();
  for (let row = 0; row < page.count; row += 1) {
    const names = shape.across.map((key) => wordOf(columns.get(key), row));
    const name = JSON.stringify(names);
    if (!across.has(name)) across.set(name, names);
    const line = wordOf(columns.get(shape.down), row);
    if (!down.has(line)) down.set(line, new Map());
    const cells = down.get(line);
    if (!cells.has(name)) cells.set(name, []);
    cells.get(name).push(row);
  }
  const names = [...across.values()].sort((a, b) => order(a[0], b[0]) || order(a[1], b[1]));
  return { down, names };
}

function matrixHead(shape, names) {
  const over = element("tr", {}, element("td", { class: "corner" }));
  const under = element("tr", {}, element("th", { scope: "col", class: "corner" }, columns.get(shape.down).title));
  for (let place = 0; place < names.length; ) {
    let end = place;
    while (end < names.length && names[end][0] === names[place][0]) end += 1;
    over.append(element("th", { scope: "colgroup", colspan: end - place }, foreign(names[place][0])));
    place = end;
  }
  for (const [, name] of names) under.append(element("th", { scope: "col" }, foreign(name)));
  return element("thead", {}, over, under);
}

// A button that shows rows of a cell in the table.
function matrixButton(content, told, tone, filters) {
  const made = element("button", { type: "button", class: `square ${tone}`, tabindex: -1, "aria-label": told, title: told }, content);
  made.filters = filters;
  return made;
}

function squares(shape, rows, filters) {
  const each = columns.get(shape.each);
  return rows.map((row) => {
    const state = stateOf(row);
    const size = wordOf(each, row);
    const told = [...filters.map(([, word]) => word), size].filter(Boolean).join(", ");
    return matrixButton(state.glyph, `${told}: ${state.word}`, state.tone, [...filters, [shape.each, size]]);
  });
}

function counts(rows, filters) {
  const told = filters.map(([, word]) => word).join(", ");
  return page.states.flatMap((state) => {
    const count = rows.filter((row) => stateOf(row) === state).length;
    if (!count) return [];
    const label = `${told}: ${whole.format(count)} ${state.word}`;
    return matrixButton(`${state.glyph} ${whole.format(count)}`, label, `several ${state.tone}`, [...filters, [stateColumn.key, state.name]]);
  });
}

function matrixLine(shape, line, cells, names, most) {
  const made = element("tr", {}, element("th", { scope: "row" }, foreign(line)));
  for (const name of names) {
    const rows = cells.get(JSON.stringify(name)) || [];
    const filters = [[shape.down, line], ...shape.across.map((key, place) => [key, name[place]])];
    const inside = rows.length > most ? counts(rows, filters) : squares(shape, rows, filters);
    const cell = element("td", {}, element("div", { class: "squares" }, ...inside));
    if (!rows.length) cell.append(element("span", { class: "unseen" }, "none"));
    made.append(cell);
  }
  return made;
}

function drawMatrix(shape, { down, names }, lines) {
  const shown = [...down].slice(0, lines);
  const total = shown.reduce((sum, [, cells]) => sum + [...cells.values()].reduce((n, rows) => n + rows.length, 0), 0);
  const most = total > MOST_IN_ALL ? 1 : MOST_SQUARES;
  const rows = shown.map(([line, cells]) => matrixLine(shape, line, cells, names, most));
  const table = element("table", { class: "matrix", "aria-labelledby": "matrix-title", "aria-describedby": "matrix-hint" });
  table.append(matrixHead(shape, names), element("tbody", {}, ...rows));
  at("matrix-body").replaceChildren(table);
  const first = table.querySelector(".square");
  if (first) first.tabIndex = 0;
  at("matrix-more").hidden = lines >= down.size;
  at("matrix-more").textContent = `Show all ${whole.format(down.size)}`;
  showChosen();
}

function chooseSquare(square) {
  const same = square.getAttribute("aria-pressed") === "true";
  setFilters(same ? [] : square.filters);
  if (!same) showChoice(square);
}

function showChosen() {
  const own = [...view.filters].filter(([, word]) => word !== "").sort().join("\n");
  for (const square of document.querySelectorAll("#matrix .square")) {
    const is = own !== "" && own === square.filters.filter(([, word]) => word !== "").sort().join("\n");
    if (is || square.hasAttribute("aria-pressed")) square.setAttribute("aria-pressed", String(is));
  }
}

// The next square in a direction: along the line, or the cell above or below it.
function squareBeside(square, key) {
  const all = [...document.querySelectorAll("#matrix .square")];
  if (key === "Home") return all[0];
  if (key === "End") return all.at(-1);
  if (key === "ArrowRight" || key === "ArrowLeft") return all[all.indexOf(square) + (key === "ArrowRight" ? 1 : -1)];
  const cell = square.closest("td");
  const place = [...cell.querySelectorAll(".square")].indexOf(square);
  const next = key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
  for (let line = cell.parentElement[next]; line; line = line[next]) {
    const there = line.cells[cell.cellIndex].querySelectorAll(".square");
    if (there.length) return there[Math.min(place, there.length - 1)];
  }
  return null;
}

function matrixKey(event) {
  const square = event.target.closest(".square");
  if (!square || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (view.filters.size) clearAll();
    else square.blur();
  } else if (["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) {
    const to = squareBeside(square, event.key);
    if (to) {
      square.tabIndex = -1;
      to.tabIndex = 0;
      to.focus();
    }
  } else return;
  event.preventDefault();
}

function startMatrix() {
  if (!page.matrix || !page.count) return;
  at("matrix").hidden = false;
  const cells = matrixCells(page.matrix);
  drawMatrix(page.matrix, cells, FEW);
  at("matrix-body").addEventListener("click", (event) => {
    const square = event.target.closest(".square");
    if (square) chooseSquare(square);
  });
  at("matrix-body").addEventListener("keydown", matrixKey);
  at("matrix-more").addEventListener("click", () => {
    drawMatrix(page.matrix, cells, Infinity);
    at("matrix-body").querySelector(".square[tabindex='0']").focus();
  });
  watchers.push(showChosen);
}
