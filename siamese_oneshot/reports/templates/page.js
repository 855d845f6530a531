"use strict";
// The two things that a page does by itself: it draws its charts, in dark colours where the reader
// wants a dark page, and it sorts its tables.
(function () {
  const wantsDark = matchMedia("(prefers-color-scheme: dark)");
  const byFinger = matchMedia("(pointer: coarse)").matches;
  const dark = JSON.parse(document.getElementById("dark").textContent);
  const drawn = [];

  function coloured(value) {
    if (typeof value === "string") return Object.hasOwn(dark, value) ? dark[value] : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value !== null && typeof value === "object") {
      for (const key of Object.keys(value)) value[key] = coloured(value[key]);
    }
    return value;
  }

  // A finger that drags over a chart scrolls the page; the zoom is a tap on its tool away.
  function withoutDrag(value) {
    if (value === null || typeof value !== "object") return;
    if (value.name === "Toolbar" && value.attributes) value.attributes.active_drag = null;
    Object.values(value).forEach(withoutDrag);
  }

  async function draw() {
    Bokeh.set_log_level("warn");
    while (drawn.length) drawn.pop().clear();
    for (const place of document.querySelectorAll(".plot")) {
      const text = document.getElementById(place.id.replace("chart-", "data-")).textContent;
      const item = JSON.parse(text);
      if (wantsDark.matches) coloured(item);
      if (byFinger) withoutDrag(item);
      place.replaceChildren();
      place.style.minHeight = place.dataset.height + "px";
      drawn.push(await Bokeh.embed.embed_item(item, place));
    }
    document.documentElement.dataset.drawn = "yes";
  }

  function order(cell) {
    const text = cell.dataset.order;
    const number = text === "" ? NaN : Number(text);
    return { text, number };
  }

  function compare(one, other) {
    const numbers = !Number.isNaN(one.number) && !Number.isNaN(other.number);
    return numbers ? one.number - other.number : one.text.localeCompare(other.text);
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
        headings.forEach((one) => one.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => ({ row, key: order(row.cells[column]) }));
        rows.sort((one, other) => {
          if (one.key.text === "" || other.key.text === "") {  // what is not known comes last
            return (one.key.text === "") - (other.key.text === "");
          }
          return (up ? 1 : -1) * compare(one.key, other.key);
        });
        body.append(...rows.map((one) => one.row));
      });
    });
  }

  document.querySelectorAll("table.sortable").forEach(makeSortable);
  if (document.querySelector(".plot")) {
    draw();
    wantsDark.addEventListener("change", draw);
  }
})();
