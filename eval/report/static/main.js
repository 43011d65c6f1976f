"use strict";
// Starts the page.

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
linkShared();
startExplorer(JSON.parse(byId("data").textContent));
startTrace();
