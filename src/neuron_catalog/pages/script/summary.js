"use strict";
// The head of the page, and what stands above the table: totals, search, filters, what is filtered now.
const totals = new Map(page.states.map((state) => [state, 0]));
for (let row = 0; row < page.count; row += 1) totals.set(stateOf(row), totals.get(stateOf(row)) + 1);

function startSummary() {
  const good = page.good.reduce((sum, name) => sum + totals.get(stateByName.get(name)), 0);
  const share = page.count ? Math.floor((good / page.count) * 100) : 0; // 100 % means all
  at("share").textContent = page.count ? `${share} %` : NOTHING;
  at("share-of").textContent = page.count ? `${page.goal}, ${whole.format(good)} of ${counted(page.count, page.noun)}` : `no ${page.noun}s`;
  for (const [state, count] of totals) {
    const button = element("button", { type: "button", class: `tile ${state.tone}`, "aria-pressed": "false", "data-state": state.name });
    button.append(
      element("span", { class: "glyph", "aria-hidden": "true" }, state.glyph),
      element("span", { class: "number" }, whole.format(count)),
      " ",
      element("span", { class: "word" }, state.word),
    );
    button.addEventListener("click", () => {
      toggleFilter(stateColumn.key, state.name);
      if (view.filters.has(stateColumn.key)) showChoice(button);
    });
    at("states").append(button);
    if (!count) continue;
    const part = element("span", { class: state.tone });
    part.style.flexGrow = count;
    at("progress").append(part);
  }
  at("summary").hidden = false;
}

function startFilters() {
  for (const column of page.columns.filter((each) => each.filtered)) {
    const select = element("select", { "data-key": column.key }, element("option", { value: "any" }, "all"));
    const counts = new Array(column.words.length).fill(0);
    column.values.forEach((place) => (counts[place] += 1));
    const places = [...column.words.keys()];
    if (column.kind !== "state") places.sort((a, b) => order(column.words[a], column.words[b]));
    for (const place of places) {
      const word = column.words[place];
      const told = column.kind === "state" ? stateByName.get(word).word : word;
      if (counts[place]) select.append(element("option", { value: `is ${word}` }, `${told || "none"} (${whole.format(counts[place])})`));
    }
    select.addEventListener("change", () => toggleFilter(column.key, select.value === "any" ? null : select.value.slice(3)));
    at("filters").append(element("label", {}, `${column.title} `, select));
  }
  const clear = element("button", { type: "button", id: "clear", class: "quiet" }, "Clear");
  clear.addEventListener("click", () => {
    clearAll();
    at("search").focus();
  });
  at("filters").append(clear);
  at("filters").addEventListener("submit", (event) => event.preventDefault());
}

function chip([key, word]) {
  const column = columns.get(key);
  const told = column.kind === "state" ? stateByName.get(word).word : word || "none";
  const label = element("span", {}, `${column.title}: `, foreign(told));
  const button = element("button", { type: "button", class: "chip", "aria-label": `Remove the filter ${column.title}: ${told}` }, label, element("span", { "aria-hidden": "true" }, "×"));
  button.addEventListener("click", () => {
    toggleFilter(key, null);
    at("search").focus();
  });
  return button;
}

function showFilters() {
  const all = view.rows.length === page.count;
  at("count").textContent = all ? counted(page.count, page.noun) : `${whole.format(view.rows.length)} of ${counted(page.count, page.noun)}`;
  at("chips").replaceChildren(...[...view.filters].map(chip));
  at("clear").disabled = !view.filters.size && !view.search;
  for (const select of at("filters").querySelectorAll("select[data-key]")) {
    const key = select.dataset.key;
    select.value = view.filters.has(key) ? `is ${view.filters.get(key)}` : "any";
    select.classList.toggle("set", view.filters.has(key));
  }
  for (const tile of at("states").children) {
    tile.setAttribute("aria-pressed", String(view.filters.get(stateColumn.key) === tile.dataset.state));
  }
  if (at("search").value !== view.search && document.activeElement !== at("search")) at("search").value = view.search;
  if (!view.search) at("search").value = "";
}
