// Sort, filter, facets and the switch of boards; the whole state is in the URL's hash, so that it can be passed on.
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
  let all = false;
  let sorting = { ...first };

  function value(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.s === undefined) return cell.textContent.trim().toLowerCase() || null;
    return cell.dataset.s === "" ? null : Number(cell.dataset.s);
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
      const fits = wanted.every((word) => words.get(row).includes(word))
        && facets.every((facet) => !facet.value || row.dataset[facet.name] === facet.value);
      row.hidden = !fits || (shown >= most && !all && !row.parentNode.classList.contains("reference"));
      found += fits;
      shown += !row.hidden;
    }
    document.getElementById("count").textContent =
      `${found} of ${rows.length} rows` + (shown < found ? `, the first ${shown} shown` : "");
    more.hidden = shown === found;
    more.textContent = `Show all ${found} rows`;
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
    return `#${told}`;
  }

  function tell() {
    const told = state(main.dataset.board);
    if (told !== location.hash) history.replaceState(null, "", told);
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
    sort();
    filter();
    tell();
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
  form.addEventListener("input", () => { filter(); tell(); });
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    sorting = { ...first };
    form.elements.q.value = "";
    for (const facet of facets) facet.value = "";
    sort();
    filter();
    tell();
  });
  addEventListener("hashchange", () => {
    if (location.hash === "" || location.hash.includes("=")) read(); // anything else is an anchor of the page
  });
  table.classList.remove("plain");
  form.hidden = false;
  read();
})();
