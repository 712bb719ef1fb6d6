// Bars, sort, filter, facets, columns, comparison of rows and the switch of boards; the whole state is in the URL's hash,
// so that it can be passed on.
(() => {
  "use strict";
  const main = document.querySelector("main[data-board]");
  const table = document.getElementById("board");
  const form = document.getElementById("controls");
  const links = [...document.querySelectorAll("nav a[data-board]")];
  const heads = [...table.tHead.rows[0].cells];
  const standing = () => [...table.tBodies].flatMap((body) => [...body.rows]); // in their present order
  const rows = standing();
  const order = new Map(rows.map((row, place) => [row, place]));
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const facets = [...form.querySelectorAll("select")];
  const first = { sort: "position", down: false };
  const most = 200; // rows of methods that a long board shows at once: a browser lays out 500 in a fifth of a second
  const more = document.createElement("button");
  const picker = document.querySelector("#columns div");
  const compare = document.getElementById("compare");
  const usual = heads.filter((head) => !head.classList.contains("more")).map((head) => head.dataset.key);
  const chosen = new Set(); // rows that are ticked
  let comparing = false; // whether only they are shown
  let columns = new Set(usual);
  let all = false;
  let sorting = { ...first };
  const drawn = new Set();
  const sheet = new CSSStyleSheet(); // hides columns: rows say nothing of them
  const name = (row) => row.id.slice("row-".length);
  const said = {
    text: (words) => words.toLowerCase(),
    number: parseFloat,
    largest: (words) => Math.max(...words.split("/").map(Number)),
    digits: (words) => words.split("·").reduce((whole, count) => 1000 * whole + Number(count), 0),
  }; // what a cell is sorted by

  function value(row, column) {
    const words = row.cells[column].textContent.trim();
    return words === "" || words === "–" ? null : said[heads[column].dataset.sort](words);
  }

  function svg(tag, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  function bar(cell, [none, original]) { // a line at the null, one at Original, the interval, and a dot at the mean
    const mean = parseFloat(cell.firstChild.textContent);
    const interval = cell.querySelector("i")?.textContent ?? "";
    const ends = (interval.match(/-?[\d.]+/g) ?? [0]).map(Number);
    const share = (value) => (value - none) / (original - none);
    const [low, high] = (ends.length > 1 ? ends : [mean - ends[0], mean + ends[0]]).map(share).sort((a, b) => a - b);
    const x = (at) => (4 + (Math.min(Math.max(at, -0.2), 1.2) + 0.2) * 40).toFixed(1);
    const red = share(mean) > Number(table.dataset.reaches) && high >= 1;
    return svg("svg", { class: "bar", viewBox: "0 0 64 12", "aria-hidden": "true" },
      svg("path", { class: "null", d: "M12 1V11" }), svg("path", { class: "top", d: "M52 1V11" }),
      svg("g", { class: red ? "other" : "mark" }, svg("path", { d: `M${x(low)} 6H${x(high)}` }),
        svg("circle", { cx: x(share(mean)), cy: 6, r: 3 })));
  }

  function draw(row) { // bars and colours of a row that is shown for the first time
    if (drawn.has(row)) return;
    drawn.add(row);
    for (const group of row.querySelectorAll("td > b:not(.mark)")) group.className = group.textContent.toLowerCase();
    heads.forEach((head, place) => {
      const cell = row.cells[place];
      if (head.dataset.scale && cell.textContent[0] !== "–") cell.prepend(bar(cell, head.dataset.scale.split(" ").map(Number)));
    });
  }

  function sort() {
    const column = heads.findIndex((head) => head.dataset.key === sorting.sort);
    heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const sign = sorting.down ? -1 : 1;
    const keys = new Map(rows.map((row) => [row, value(row, column)]));
    for (const body of table.tBodies) {
      const sorted = [...body.rows].sort((a, b) => {
        const x = keys.get(a), y = keys.get(b);
        if (x === y) return order.get(a) - order.get(b);
        if (x === null) return 1; // what is not known stands last, in both directions
        if (y === null) return -1;
        return x < y ? -sign : sign;
      });
      body.append(...sorted);
    }
  }

  function filter() {
    const wanted = form.elements.q.value.trim().toLowerCase().split(/\s+/);
    let found = 0, shown = 0;
    for (const row of standing()) {
      const fits = (!comparing || chosen.has(name(row)) || row.parentNode.classList.contains("reference"))
        && wanted.every((word) => words.get(row).includes(word))
        && facets.every((facet) => !facet.value || (row.dataset[facet.name] ?? facet.dataset.usual) === facet.value);
      row.hidden = !fits || (shown >= most && !all && !row.parentNode.classList.contains("reference"));
      if (!row.hidden) draw(row);
      found += fits;
      shown += !row.hidden;
    }
    document.getElementById("count").textContent =
      `${found} of ${rows.length} rows` + (shown < found ? `, the first ${shown} shown` : "");
    more.hidden = shown === found;
    more.textContent = `Show all ${found} rows`;
  }

  function showColumns() {
    const cells = (without) => heads.flatMap((head, at) => (without(head) ? [`#board tr > :nth-child(${at + 1})`] : []));
    const none = (selectors) => (selectors.length ? `${selectors.join()} { display: none }` : "");
    const hidden = none(cells((head) => !columns.has(head.dataset.key)));
    const wide = none(cells((head) => head.classList.contains("wide")));
    sheet.replaceSync(`${hidden} @media (max-width: 640px) { ${wide} }`);
    for (const box of picker.querySelectorAll("input")) box.checked = columns.has(box.name);
  }

  function showChosen() {
    for (const row of rows) {
      const box = row.querySelector("th input");
      if (box) box.checked = chosen.has(name(row));
    }
    compare.textContent = comparing ? "Show all rows" : `Compare ${chosen.size || "ticked"} rows`;
    compare.disabled = !comparing && chosen.size === 0;
  }

  function showAll() {
    all = true;
    filter();
  }

  function state(board) {
    const told = new URLSearchParams({ track: board });
    if (sorting.sort !== first.sort || sorting.down) told.set("sort", (sorting.down ? "-" : "") + sorting.sort);
    const typed = form.elements.q.value.trim();
    if (typed) told.set("q", typed);
    for (const facet of facets) if (facet.value) told.set(facet.name, facet.value);
    if (comparing) told.set("compare", [...chosen].join(","));
    const keys = heads.map((head) => head.dataset.key).filter((key) => columns.has(key));
    if (keys.join() !== usual.join()) told.set("columns", keys.join(","));
    return `#${told}`;
  }

  function tell() {
    const told = state(main.dataset.board);
    if (told !== location.hash && (location.hash === "" || location.hash.includes("="))) history.replaceState(null, "", told);
    for (const link of links) link.hash = state(link.dataset.board);
  }

  function read() {
    const told = new URLSearchParams(location.hash.slice(1));
    const board = told.get("track");
    const other = links.find((link) => link.dataset.board === board);
    if (other && board !== main.dataset.board) {
      other.hash = location.hash;
      location.replace(other.href);
      return;
    }
    const asked = told.get("sort") || first.sort;
    const key = asked.replace(/^-/, "");
    sorting = heads.some((head) => head.dataset.key === key) ? { sort: key, down: asked.startsWith("-") } : { ...first };
    form.elements.q.value = told.get("q") || "";
    for (const facet of facets) {
      const one = told.get(facet.name) || "";
      facet.value = [...facet.options].some((option) => option.value === one || option.text === one) ? one : "";
    }
    const compared = (told.get("compare") || "").split(",").filter(Boolean);
    for (const name of compared) chosen.add(name);
    comparing = compared.length > 0;
    const keys = (told.get("columns") || "").split(",").filter((key) => heads.some((head) => head.dataset.key === key));
    columns = new Set(keys.length ? keys : usual);
    showColumns();
    showChosen();
    sort();
    filter();
    tell();
  }

  for (const row of rows) {
    if (row.parentNode.classList.contains("reference")) continue;
    const box = document.createElement("input");
    box.type = "checkbox";
    box.setAttribute("aria-label", `Compare ${name(row)}`);
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(name(row));
      else chosen.delete(name(row));
      showChosen();
      if (comparing) { filter(); tell(); }
    });
    row.querySelector("th").prepend(box);
  }

  compare.addEventListener("click", () => {
    comparing = !comparing;
    showChosen();
    filter();
    tell();
  });

  for (const head of heads) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.name = head.dataset.key;
    box.disabled = head.dataset.key === "method";
    box.addEventListener("change", () => {
      if (box.checked) columns.add(box.name);
      else columns.delete(box.name);
      showColumns();
      tell();
    });
    label.append(box, head.textContent);
    picker.append(label);
  }

  for (const head of heads) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const key = head.dataset.key;
      sorting = { sort: key, down: key === sorting.sort ? !sorting.down : head.dataset.best === "high" };
      sort();
      filter();
      tell();
    });
  }
  more.type = "button";
  more.id = "more";
  more.addEventListener("click", showAll);
  addEventListener("beforeprint", showAll);
  table.parentNode.after(more);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => { if (event.target.type !== "checkbox") { filter(); tell(); } });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    sorting = { ...first };
    form.elements.q.value = "";
    for (const facet of facets) facet.value = "";
    chosen.clear();
    comparing = false;
    columns = new Set(usual);
    showColumns();
    showChosen();
    sort();
    filter();
    tell();
  });
  addEventListener("hashchange", () => {
    if (location.hash === "" || location.hash.includes("=")) read(); // anything else is an anchor of the page
  });
  document.adoptedStyleSheets = [sheet];
  table.classList.remove("plain");
  table.classList.add("js");
  form.hidden = false;
  read();
})();
