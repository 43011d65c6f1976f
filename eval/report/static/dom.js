"use strict";
// Elements and figures. Whatever comes from the data is set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children (strings become text; null and false are left out). */
function el(tag, attributes, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An SVG element, likewise. */
function svg(tag, attributes, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const byId = (id) => document.getElementById(id);

/** A select's choices: [value, words] pairs. */
function choices(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, words]) => el("option", { value, selected: value === chosen }, words)));
}

const figure = (value) => (value === null ? "–" : value.toFixed(4));
const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(4);
const counted = (number, word, many) => `${number.toLocaleString("en")} ${number === 1 ? word : many ?? word + "s"}`;
const scoreText = (value) => (Math.abs(value) >= 1000 ? value.toFixed(0) : Number(value.toPrecision(4)).toString());

/** Mean of numbers, nulls left out. */
function mean(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : 0;
}
