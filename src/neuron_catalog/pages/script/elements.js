"use strict";
// Elements with text. Nothing here takes HTML: what a row says is always a text node.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  fill(made, attributes, children);
  return made;
}

function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  fill(made, attributes, children);
  return made;
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
}

function at(id) {
  return document.getElementById(id);
}

// Text that came from elsewhere: its direction must not turn what stands around it.
// A word that is too long for a column may be broken anywhere.
function foreign(text) {
  return element("bdi", { class: /[^\s-]{20}/.test(text) ? "long" : null }, text);
}

function mark(state) {
  return element(
    "span",
    { class: `mark ${state.tone}` },
    element("span", { class: "glyph", "aria-hidden": "true" }, state.glyph),
    state.word,
  );
}

function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

function bringIntoView(target, block) {
  target.scrollIntoView({ behavior: calm() ? "instant" : "smooth", block });
}
