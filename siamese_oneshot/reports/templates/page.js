"use strict";
// Draws the charts, in dark colors if the reader prefers a dark page, and sorts tables.
(function () {
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const coarsePointer = matchMedia("(pointer: coarse)").matches;
  const dark = JSON.parse(document.getElementById("dark").textContent);
  const drawn = [];

  function inDark(value) {
    if (typeof value === "string") return Object.hasOwn(dark, value) ? dark[value] : value;
    if (Array.isArray(value)) return value.map(inDark);
    if (value !== null && typeof value === "object") {
      for (const key of Object.keys(value)) value[key] = inDark(value[key]);
    }
    return value;
  }

  // On a touch screen a drag scrolls the page; zooming takes a tap on its tool first.
  function withoutDrag(value) {
    if (value === null || typeof value !== "object") return;
    if (value.name === "Toolbar" && value.attributes) value.attributes.active_drag = null;
    Object.values(value).forEach(withoutDrag);
  }

  async function draw() {
    Bokeh.set_log_level("warn");
    while (drawn.length) drawn.pop().clear();
    for (const element of document.querySelectorAll(".plot")) {
      const text = document.getElementById(element.id.replace("chart-", "data-")).textContent;
      const item = JSON.parse(text);
      if (wantsDark.matches) inDark(item);
      if (coarsePointer) withoutDrag(item);
      element.replaceChildren();
      element.style.minHeight = element.dataset.height + "px";
      drawn.push(await Bokeh.embed.embed_item(item, element));
    }
    document.documentElement.dataset.drawn = "yes";
  }

  function order(cell) {
    const text = cell.textContent.trim();
    return { text: text === "-" ? "" : text, number: parseFloat(text) };
  }

  function compare(a, b) {
    const numbers = !Number.isNaN(a.number) && !Number.isNaN(b.number);
    return numbers ? a.number - b.number : a.text.localeCompare(b.text);
  }

  function makeSortable(table) {
    const headings = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = heading.getAttribute("aria-sort") !== "ascending";
        headings.forEach((cell) => cell.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => ({ row, key: order(row.cells[column]) }));
        rows.sort((a, b) => {
          if (a.key.text === "" || b.key.text === "") {  // unknown values come last
            return (a.key.text === "") - (b.key.text === "");
          }
          return (up ? 1 : -1) * compare(a.key, b.key);
        });
        body.append(...rows.map((item) => item.row));
      });
    });
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  if (document.querySelector(".plot")) {
    draw();
    wantsDark.addEventListener("change", draw);
  }
})();
