"use strict";
// The table: its head sorts, its rows are made as they are needed, and one of them has the focus.
const CHUNK = 100;
const PAGE = 10;
const body = at("table").tBodies[0];
const drawnRows = { count: 0, leaveTo: null };

function makeHead() {
  const head = element("tr", { role: "row", "aria-rowindex": 1 });
  const choice = element("select", { id: "sort" }, element("option", { value: "" }, "as planned"));
  for (const column of shownColumns) {
    const button = element("button", { type: "button", "data-key": column.key }, column.title);
    button.addEventListener("click", () => sortBy(column.key));
    const figure = ["number", "share"].includes(column.kind) ? "figure" : null;
    head.append(element("th", { role: "columnheader", scope: "col", class: figure, "data-key": column.key }, button));
    for (const [sign, way] of [["", "↑"], ["-", "↓"]]) {
      choice.append(element("option", { value: sign + column.key }, `${column.title} ${way}`));
    }
  }
  choice.addEventListener("change", () => {
    change({ sort: choice.value.replace(/^-/, ""), down: choice.value.startsWith("-") });
  });
  at("table").tHead.append(head);
  at("filters").append(element("label", { class: "sort" }, "Sort by ", choice));
}

// Upwards, downwards, as planned.
function sortBy(key) {
  if (view.sort !== key) change({ sort: key, down: false });
  else if (!view.down) change({ sort: key, down: true });
  else change({ sort: "", down: false });
}

function showOrder() {
  for (const cell of at("table").tHead.rows[0].cells) {
    const own = cell.dataset.key === view.sort;
    cell.setAttribute("aria-sort", own ? (view.down ? "descending" : "ascending") : "none");
  }
  at("sort").value = (view.down ? "-" : "") + view.sort;
}

function showTable() {
  showOrder();
  body.replaceChildren();
  drawnRows.count = 0;
  const table = at("table");
  table.setAttribute("aria-rowcount", view.rows.length + 1);
  table.hidden = !view.rows.length;
  at("none").hidden = Boolean(view.rows.length);
  at("none").textContent = page.count ? `No ${page.noun} is like that.` : `There are no ${page.noun}s.`;
  showMore();
}

function showMore() {
  const until = Math.min(drawnRows.count + CHUNK, view.rows.length);
  const made = [];
  for (let place = drawnRows.count; place < until; place += 1) made.push(rowElement(view.rows[place], place));
  body.append(...made);
  if (!drawnRows.count && made.length) setReachable(made[0]);
  drawnRows.count = until;
  const left = view.rows.length - until;
  at("more").hidden = !left;
  at("more").textContent = `Show ${whole.format(Math.min(CHUNK, left))} more of ${whole.format(left)} left`;
}

// The one row that Tab reaches.
function setReachable(row) {
  const before = body.querySelector("tr.row[tabindex='0']");
  for (const [each, index] of [[before, -1], [row, 0]]) {
    if (!each) continue;
    each.tabIndex = index;
    each.querySelectorAll("a").forEach((link) => (link.tabIndex = index));
  }
}

function focusRow(row) {
  if (!row) return;
  setReachable(row);
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function neighbour(row, steps) {
  let now = row;
  while (steps) {
    let next = steps > 0 ? now.nextElementSibling : now.previousElementSibling;
    if (!next && steps > 0 && !at("more").hidden) {
      showMore();
      next = now.nextElementSibling;
    }
    if (!next) break;
    now = next;
    if (now.matches(".row")) steps -= Math.sign(steps);
  }
  return now.matches(".row") ? now : row;
}

function toggleRow(row) {
  const open = row.getAttribute("aria-expanded") === "true";
  row.setAttribute("aria-expanded", String(!open));
  if (open) {
    row.nextElementSibling.remove();
    return;
  }
  row.after(detailsElement(Number(row.dataset.row)));
  row.nextElementSibling.scrollIntoView({ block: "nearest" });
}

function leaveRows(row) {
  if (row.getAttribute("aria-expanded") === "true") {
    toggleRow(row);
    return;
  }
  const to = drawnRows.leaveTo && drawnRows.leaveTo.isConnected ? drawnRows.leaveTo : at("search");
  drawnRows.leaveTo = null;
  to.focus();
}

// After a choice elsewhere on the page: the first of its rows. Escape leads back to what was chosen.
function showChoice(from) {
  drawnRows.leaveTo = from;
  focusRow(body.querySelector("tr.row"));
  bringIntoView(at("rows"), "start");
}

const MOST_PRINTED = 1000;

function prepareToPrint() {
  while (drawnRows.count < Math.min(view.rows.length, MOST_PRINTED)) showMore();
  const left = view.rows.length - drawnRows.count;
  at("unprinted").textContent = left ? `${counted(left, `more ${page.noun}`)} below, not printed.` : "";
}

const MOVES = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity };

function rowKey(event) {
  const inside = event.target.closest("tr.row, tr.details");
  if (!inside || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = inside.matches(".row") ? inside : inside.previousElementSibling;
  if (event.key in MOVES) focusRow(neighbour(row, MOVES[event.key]));
  else if (event.key === "End") focusRow([...body.querySelectorAll("tr.row")].at(-1));
  else if (event.key === "Escape" && inside !== row) focusRow(row);
  else if (event.key === "Escape") leaveRows(row);
  else if (["Enter", " "].includes(event.key) && event.target === row) toggleRow(row);
  else return;
  event.preventDefault();
}

function rowClick(event) {
  const row = event.target.closest("tr.row");
  if (!row || event.target.closest("a") || String(getSelection())) return;
  setReachable(row);
  toggleRow(row);
}

function startTable() {
  makeHead();
  body.addEventListener("keydown", rowKey);
  body.addEventListener("click", rowClick);
  body.addEventListener("focusin", (event) => event.target.matches("tr.row") && setReachable(event.target));
  at("more").addEventListener("click", () => {
    const last = [...body.querySelectorAll("tr.row")].at(-1);
    const byKey = document.activeElement === at("more");
    showMore();
    if (byKey && at("more").hidden) focusRow(neighbour(last, 1));
  });
  const near = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && showMore(), {
    rootMargin: "600px",
  });
  near.observe(at("more"));
  addEventListener("beforeprint", prepareToPrint);
  watchers.push(showTable);
}
