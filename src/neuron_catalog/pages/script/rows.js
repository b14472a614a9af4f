"use strict";
// One row of the table, and its details.
const shownColumns = page.columns.filter((column) => column.shown);
const LOW = -4; // the bar of a share begins at 0.0001 of what is allowed ...
const HIGH = 1; // ... and ends at 10 times of it
const BAR = { width: 56, height: 10 };

function along(value) {
  const place = (Math.log10(Math.max(value, 1e-300)) - LOW) / (HIGH - LOW);
  return Math.min(Math.max(place, 0), 1) * BAR.width;
}

function shareBar(value) {
  const width = Math.max(along(value), value > 0 ? 1.5 : 0);
  const limit = along(1);
  return drawn(
    "svg",
    { class: "bar", viewBox: `0 0 ${BAR.width} ${BAR.height}`, width: BAR.width, height: BAR.height, "aria-hidden": "true" },
    drawn("rect", { class: "track", x: 0, y: 3, width: BAR.width, height: 4, rx: 2 }),
    drawn("rect", { class: value > 1 ? "over" : "within", x: 0, y: 3, width, height: 4, rx: 2 }),
    drawn("rect", { class: "limit", x: limit - 0.75, y: 0, width: 1.5, height: BAR.height }),
  );
}

function shareCell(value) {
  const told = value > 1 ? `${rounded(value)} !` : rounded(value);
  const title = `${rounded(value)} of what is allowed`;
  return element("span", { class: "of-allowed", title }, shareBar(value), element("span", {}, told));
}

function linkCell(column, row, tabindex) {
  const address = linkOf(column, row);
  if (!opens(address)) return element("code", { class: "address" }, foreign(address));
  return element("a", { href: address, tabindex, rel: "noreferrer", title: address }, "open");
}

const NOTHING = "–";

function cellContent(column, row) {
  if (column.kind === "state") return mark(stateOf(row));
  const text = textOf(column, row);
  if (text === "") return element("span", { class: "nothing" }, NOTHING);
  if (column.kind === "share") return shareCell(column.values[row]);
  if (column.kind === "link") {
    if (opens(text)) return linkCell(column, row, -1);
    return element("span", { title: text }, "in the store");
  }
  return column.kind === "number" ? text : foreign(text);
}

function rowElement(row, place) {
  const made = element("tr", {
    role: "row",
    class: `row ${stateOf(row).tone}`,
    tabindex: -1,
    "aria-expanded": "false",
    "aria-level": 1,
    "aria-rowindex": place + 2,
    "data-row": row,
  });
  for (const column of shownColumns) {
    const numeric = ["number", "share"].includes(column.kind);
    const attributes = { role: "gridcell", "data-title": column.title, class: numeric ? `${column.kind} figure` : column.kind };
    made.append(element("td", attributes, cellContent(column, row)));
  }
  return made;
}

const LONG = 60; // longer texts are cut short in the table

// What the row itself does not show.
function detailsElement(row) {
  const list = element("dl", {});
  for (const column of page.columns) {
    const text = textOf(column, row);
    if (text === "" || (column.shown && column.kind !== "link" && text.length <= LONG)) continue;
    const content = column.kind === "link" ? linkCell(column, row, 0) : foreign(text);
    if (column.kind === "link" && opens(text)) content.textContent = text;
    list.append(element("div", {}, element("dt", {}, column.title), element("dd", {}, content)));
  }
  if (!list.children.length) list.append(element("div", {}, element("dd", {}, "Nothing more is known.")));
  const cell = element("td", { role: "gridcell", colspan: shownColumns.length }, list);
  return element("tr", { role: "row", class: "details", "aria-level": 2 }, cell);
}
