"use strict";
// Draws the charts; their axes, smoothing and lines are chosen here; sorts, filters and compares
// jobs; shows images in full size.
(function () {
  const coarsePointer = matchMedia("(pointer: coarse)").matches;
  const axes = JSON.parse(document.getElementById("axes").textContent);
  const plots = {};  // Bokeh's figures by the key of their chart
  const get = (id) => document.getElementById(id);
  const listen = (id, event, action) => get(id) && get(id).addEventListener(event, action);

  // On a touch screen a drag scrolls the page; zooming takes a tap on its tool first.
  function withoutDrag(value) {
    if (value === null || typeof value !== "object") return;
    if (value.name === "Toolbar" && value.attributes) value.attributes.active_drag = null;
    Object.values(value).forEach(withoutDrag);
  }

  async function draw() {
    Bokeh.set_log_level("warn");
    for (const element of document.querySelectorAll(".plot")) {
      const text = document.getElementById(element.id.replace("chart-", "data-")).textContent;
      const item = JSON.parse(text);
      if (coarsePointer) withoutDrag(item);
      element.style.minHeight = element.dataset.height + "px";
      const views = await Bokeh.embed.embed_item(item, element);
      plots[element.id.replace("chart-", "")] = [...views.roots][0].model;
    }
    showSteps();
    document.documentElement.dataset.drawn = "yes";
  }

  const originals = new Map();  // the data of each source as it was logged

  function at(knots, step) {  // linear between the knots and beyond them
    const [steps, values] = knots;
    let n = steps.findIndex((one) => one >= step);
    n = Math.max(1, n < 0 ? steps.length - 1 : n);
    const share = (step - steps[n - 1]) / (steps[n] - steps[n - 1]);
    return values[n - 1] + share * (values[n] - values[n - 1]);
  }

  function smoothed(values, weight) {
    let mean = 0, total = 0;  // divided by the weights so far, so that the first value counts once
    return Array.from(values, (value) => {
      mean = weight * mean + (1 - weight) * value;
      total = weight * total + (1 - weight);
      return mean / total;
    });
  }

  function showSteps() {
    const axis = get("axis") ? get("axis").value : "step";
    const weight = get("smoothing") ? Number(get("smoothing").value) : 0;
    for (const plot of Object.values(plots)) {
      const sources = plot.renderers.map((one) => one.data_source).filter((one) => one && one.data.step);
      if (!sources.length) continue;
      plot.below[0].axis_label = axis;
      plot.below[0].ticker.min_interval = axis === "step" || axis === "images" ? 1 : 0;
      for (const source of new Set(sources)) {
        if (!originals.has(source)) originals.set(source, { ...source.data });
        const data = { ...originals.get(source) };
        const knots = axis === "step" ? null : axes[axis][source.tags[0]];
        if (knots) data.step = Array.from(data.step, (step) => at(knots, step));
        if (weight) {
          for (const name of ["value", "low", "high"]) {
            if (data[name]) data[name] = smoothed(data[name], weight);
          }
        }
        source.data = data;
      }
    }
  }

  // The two chosen rows of the jobs' table as columns.
  function showPair() {
    const table = document.querySelector("table.sortable");
    if (!get("pair") || !table) return;
    const chosen = ["first", "second"].map((id) => get(id).value);
    const rows = chosen.map((number) => jobRow(table, number));
    const cells = rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
    const body = document.createElement("tbody");
    [...table.tHead.rows[0].cells].forEach((heading, n) => {
      const row = body.insertRow();
      row.className = cells[0][n] === cells[1][n] ? "alike" : "";
      const name = document.createElement("th");
      name.scope = "row";
      name.textContent = heading.textContent;
      row.append(name);
      cells.forEach((one) => { row.insertCell().textContent = one[n]; });
    });
    get("pair").tBodies[0]?.remove();
    get("pair").append(body);
  }

  function jobRow(table, number) {
    return [...table.tBodies[0].rows].find((row) => row.cells[0].textContent.trim() === number);
  }

  function fillPair(table) {
    ["first", "second"].forEach((id, position) => {
      if (!get(id)) return;
      for (const row of table.tBodies[0].rows) {
        const number = row.cells[0].textContent.trim();
        get(id).add(new Option("job " + number, number, false, get(id).length === position));
      }
      listen(id, "change", showPair);
    });
    showPair();
  }

  // A row stays if it has every word; name=value asks for a column's value.
  function filterRows(table) {
    const words = get("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim().toLowerCase());
    for (const row of table.tBodies[0].rows) {
      const texts = [...row.cells].map((cell) => cell.textContent.trim().toLowerCase());
      row.hidden = !words.every((word) => {
        const [name, value] = word.split("=");
        const column = value === undefined ? -1 : names.indexOf(name);
        return column < 0 ? texts.some((text) => text.includes(word)) : texts[column] === value;
      });
    }
  }

  function offerColumns(table) {
    [...table.tHead.rows[0].cells].slice(1).forEach((heading, n) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      box.addEventListener("change", () => {
        for (const row of table.rows) row.cells[n + 1].hidden = !box.checked;
      });
      label.append(box, " " + heading.textContent);
      get("columns").append(label);
    });
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

  document.querySelectorAll("table.sortable").forEach((table) => {
    fillPair(table);
    offerColumns(table);
    makeSortable(table);
    listen("filter", "input", () => filterRows(table));
  });
  document.querySelectorAll("button.zoom").forEach((button) => {
    button.addEventListener("click", () => {
      get("full").querySelector("img")?.remove();
      const image = get("full").appendChild(button.querySelector("img").cloneNode());
      image.tabIndex = 0;
      get("full").showModal();
    });
  });
  listen("axis", "change", showSteps);
  listen("smoothing", "input", showSteps);
  if (document.querySelector(".plot")) draw();
})();
