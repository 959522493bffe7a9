"use strict";
(function () {
  const said = document.querySelector(".said");
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  function key(row, column) {
    const cell = row.cells[column];
    const number = cell.dataset.key === "" ? NaN : Number(cell.dataset.key);
    return { number: number, text: cell.textContent.trim() };
  }
  function inOrder(a, b) {
    const first = Number.isNaN(a.number), second = Number.isNaN(b.number);
    if (!first && !second) { return a.number - b.number; }
    return first === second ? compare(a.text, b.text) : first ? 1 : -1;
  }
  function sort(table, column, header) {
    const down = header.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const missing = (entry) => entry.key.text === "–";
    const rows = Array.from(body.rows, (row) => ({ row: row, key: key(row, column) }));
    rows.sort((a, b) => missing(a) - missing(b) || (down ? inOrder(b.key, a.key) : inOrder(a.key, b.key)));
    rows.forEach((entry) => body.append(entry.row));
    for (const other of table.tHead.rows[0].cells) { other.setAttribute("aria-sort", "none"); }
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    said.textContent = "Sorted by " + header.textContent.trim() + ", " + (down ? "descending" : "ascending");
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    Array.from(table.tHead.rows[0].cells).forEach(function (header, column) {
      header.querySelector("button").addEventListener("click", () => sort(table, column, header));
    });
  }
  let opened = [];
  addEventListener("beforeprint", function () {
    opened = Array.from(document.querySelectorAll("details:not([open])"));
    opened.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((details) => { details.open = false; }));
})();
