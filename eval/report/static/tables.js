"use strict";
// The tables that are there without scripts become sortable by any column.

function makeSortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = el("button", { type: "button", onclick: () => sortTable(table, heads, column) }, head.textContent);
    head.replaceChildren(button);
  });
}

function sortTable(table, heads, column) {
  const rows = [...table.tBodies[0].rows];
  const values = new Map(rows.map((row) => [row, row.cells[column].dataset.value]));
  const numbers = rows.every((row) => values.get(row) === "" || Number.isFinite(Number(values.get(row))));
  const first = numbers ? "descending" : "ascending";
  const other = numbers ? "ascending" : "descending";
  const direction = heads[column].getAttribute("aria-sort") === first ? other : first;
  rows.sort((a, b) => compare(values.get(a), values.get(b), numbers, direction === "descending"));
  heads.forEach((head, place) => (place === column ? head.setAttribute("aria-sort", direction) : head.removeAttribute("aria-sort")));
  table.tBodies[0].append(...rows);
}

/** What is not known stands last in either direction. */
function compare(a, b, numbers, descending) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const order = numbers ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
  return descending ? -order : order;
}

/** Point at a shared stage, and it lights up in every pipeline. */
function linkShared() {
  const boxes = [...document.querySelectorAll(".box.is-shared")];
  const light = (key) => boxes.forEach((box) => box.classList.toggle("lit", box.dataset.key === key));
  for (const box of boxes) {
    box.addEventListener("pointerenter", () => light(box.dataset.key));
    box.addEventListener("pointerleave", () => light(null));
  }
}
