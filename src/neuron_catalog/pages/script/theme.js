"use strict";
// Before anything is painted: the theme that was chosen last, if the browser remembers it for this page.
const THEME = "neuron-catalog-theme";
function remembered() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // a browser may keep nothing for files
  }
}
function remember(theme) {
  try {
    localStorage.setItem(THEME, theme);
  } catch {
    // then it holds for as long as the page is open
  }
}
if (["light", "dark"].includes(remembered())) document.documentElement.dataset.theme = remembered();
