// Elements, figures and texts. Whatever comes from the server is set as text, never as markup.

/** An element with attributes and children: strings become text; null and false are left out. */
export function el(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

export const byId = (id) => document.getElementById(id);

export const counted = (number, word) => `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;

export const score = (value) => Number(value.toPrecision(4)).toString();

/** Seconds as milliseconds, with as many digits as tell something. */
export function milliseconds(seconds) {
  const value = seconds * 1000;
  return `${value >= 10 ? Math.round(value).toLocaleString("en") : value.toFixed(1)} ms`;
}

/** Words and punctuation marks, which is how the server counts tokens of a context. */
export function tokens(text) {
  return (text.match(/[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu) ?? []).length;
}

/** A part of a text. Offsets of the server count code points; JavaScript's count halves of surrogate pairs. */
export class Letters {
  constructor(text) {
    this.letters = Array.from(text);
  }

  slice(start, end) {
    return this.letters.slice(start, end).join("");
  }
}
