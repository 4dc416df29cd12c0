"use strict";
// What both pages use. Text from outside goes through textContent alone.
const byId = (id) => document.getElementById(id);

function make(tag, settings = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(settings)) {
    if (key === "text") node.textContent = value;
    else if (key === "on") node.addEventListener("click", value);
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function draw(tag, settings, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(settings)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const percent = (p) => {
  if (p === null) return "–";
  const value = 100 * p;
  return (value >= 10 || value === 0 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : value.toPrecision(1)) + "\u00a0%";
};
const figure = (x) => (x === null ? "–" : (100 * x).toFixed(1));
