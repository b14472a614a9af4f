"use strict";
// What starts everything, and the keys that hold for the whole page.
function startTheme() {
  const button = at("theme");
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "☀ Light" : "☾ Dark";
    button.setAttribute("aria-label", isDark() ? "Use light colours" : "Use dark colours");
  };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remember(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  button.hidden = false;
  show();
}

function startSearch() {
  const search = at("search");
  search.addEventListener("input", () => change({ search: search.value }));
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      if (search.value) change({ search: "" });
      else search.blur();
    } else if (event.key === "ArrowDown" || event.key === "Enter") {
      focusRow(body.querySelector("tr.row"));
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest && event.target.closest("input, select, textarea");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    at("rows").scrollIntoView({ behavior: "instant", block: "start" }); // what is typed next must not stop it
    search.focus({ preventScroll: true });
    search.select();
  });
}

function startSkipping() {
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address of the page says what is shown
    at("rows").focus();
  });
}

// The head of the table sticks below the tools, however tall these are.
function measureTools() {
  const show = () => at("table").style.setProperty("--above", `${at("tools").offsetHeight}px`);
  new ResizeObserver(show).observe(at("tools"));
}

startTheme();
startSkipping();
startSummary();
at("rows").hidden = false;
startFilters();
startTable();
startMatrix();
startGroups();
startPlots();
startSearch();
measureTools();
watchers.push(showFilters);
readAddress();
addEventListener("hashchange", readAddress);
document.documentElement.dataset.ready = "";
