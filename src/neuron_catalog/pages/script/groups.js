"use strict";
// Rows that have the same cause, the most frequent first, with what to do about it.
const FEW_GROUPS = 12;
const FEW_NAMES = 10;

function groupsOf(key) {
  const column = columns.get(key);
  const groups = new Map();
  column.values.forEach((word, row) => {
    if (column.words[word] === "") return;
    if (!groups.has(word)) groups.set(word, []);
    groups.get(word).push(row);
  });
  return [...groups.values()].sort((one, other) => other.length - one.length || one[0] - other[0]);
}

function nameOf(row) {
  const words = page.groups.names.map((key) => textOf(columns.get(key), row)).filter(Boolean);
  return element("li", {}, ...words.flatMap((word, place) => [place ? " · " : "", foreign(word)]));
}

function groupElement(rows) {
  const cause = wordOf(columns.get(page.groups.key), rows[0]);
  const remedy = wordOf(columns.get(page.groups.remedy), rows[0]);
  const list = element("ul", { class: "names" }, ...rows.slice(0, FEW_NAMES).map(nameOf));
  if (rows.length > FEW_NAMES) list.append(element("li", {}, `and ${whole.format(rows.length - FEW_NAMES)} more`));
  const button = element("button", { type: "button", class: "quiet" }, `Show ${counted(rows.length, page.noun)} in the table`);
  button.addEventListener("click", () => {
    setFilters([[page.groups.key, cause]]);
    showChoice(button);
  });
  return element(
    "details",
    { class: "group" },
    element(
      "summary",
      {},
      element("span", { class: "many" }, whole.format(rows.length), element("span", { class: "unseen" }, ` ${page.noun}s: `)),
      element("span", { class: "cause" }, foreign(cause), remedy ? element("span", { class: "remedy" }, "→ ", foreign(remedy)) : null),
    ),
    list,
    button,
  );
}

function startGroups() {
  const groups = page.groups ? groupsOf(page.groups.key) : [];
  if (!groups.length) return;
  at("groups").hidden = false;
  const more = at("groups-more");
  const show = (count) => {
    at("groups-body").replaceChildren(...groups.slice(0, count).map(groupElement));
    more.hidden = count >= groups.length;
    more.textContent = `Show all ${whole.format(groups.length)} causes`;
  };
  show(FEW_GROUPS);
  more.addEventListener("click", () => {
    show(Infinity);
    at("groups-body").children[FEW_GROUPS].firstElementChild.focus();
  });
}
