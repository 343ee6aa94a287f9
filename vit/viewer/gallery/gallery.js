// The rows are sorted and filtered as a whole; only the cells in sight are in the document.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const rows = data.rows.map((values, index) => {
  const row = { index };
  data.fields.forEach((field, at) => { row[field] = values[at]; });
  row.wrong = row.status === "ok" && row.truth != null && row.label != null && row.truth !== row.label;
  return row;
});
const has = (field) => data.fields.includes(field);
const percent = (score) => `${(100 * score).toFixed(score > 0.995 && score < 1 ? 1 : 0)} %`;
// A path may hold any character; each is escaped, the slashes are not. A byte that is no UTF-8 is a lone surrogate.
const escaped = (character) => /^\p{Surrogate}$/u.test(character)
  ? `%${(character.charCodeAt(0) & 0xff).toString(16)}`
  : encodeURIComponent(character);
const address = (path) => path.split("/").map((part) => [...part].map(escaped).join("")).join("/");

const text = new Intl.Collator(undefined, { numeric: true });
const number = (field, sign) => (one, other) =>
  (one[field] == null) - (other[field] == null) || sign * (one[field] - other[field]) || one.index - other.index;
const ORDERS = {
  path: ["Path", (one, other) => one.index - other.index, () => true],
  unsure: ["Least certain first", number("score", 1), () => has("score")],
  sure: ["Most certain first", number("score", -1), () => has("score")],
  label: ["Label", (one, other) => text.compare(one.label ?? "\uffff", other.label ?? "\uffff") || one.index - other.index, () => has("label")],
  faithful: ["Most faithful first", number("faithfulness", -1), () => has("faithfulness")],
  unfaithful: ["Least faithful first", number("faithfulness", 1), () => has("faithfulness")],
};

// ---- the state, which the address holds: a link shows what its sender saw ----

const state = { find: "", label: "", order: "path", mistakes: false, bad: false };

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  state.find = given.get("find") ?? "";
  state.label = given.get("label") ?? "";
  const order = given.get("order");
  state.order = order in ORDERS && ORDERS[order][2]() ? order : "path";
  state.mistakes = given.has("mistakes");
  state.bad = given.has("bad");
}

function writeAddress() {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(state)) {
    if (value && !(name === "order" && value === "path")) said.set(name, value === true ? "1" : value);
  }
  history.replaceState(null, "", said.size ? `#${said}` : location.pathname + location.search);
}

// ---- which rows, in which order ----

let shown = rows;
let current = 0; // the cell that has the focus, an index into `shown`

function choose() {
  const part = state.find.toLowerCase();
  shown = rows.filter((row) =>
    (!part || row.path.toLowerCase().includes(part)) &&
    (!state.label || row.label === state.label) &&
    (!state.mistakes || row.wrong) &&
    (!state.bad || row.status !== "ok"));
  shown.sort(ORDERS[state.order][1]);
  current = 0;
  const left = data.count - rows.length;
  element("count").textContent =
    `${shown.length.toLocaleString("en")} of ${data.count.toLocaleString("en")}` +
    (left > 0 ? `; the last ${left.toLocaleString("en")} are in attend.csv only` : "");
  element("nothing").hidden = shown.length > 0;
  writeAddress();
}

// ---- the grid ----

const grid = element("grid");
const GAP = 12, NARROWEST = 250, WORDS = 58; // pixels
let columns = 1, width = NARROWEST, height = 200;
const cells = new Map(); // index into `shown` -> its element

function measure() {
  const room = grid.clientWidth;
  columns = Math.max(1, Math.floor((room + GAP) / (NARROWEST + GAP)));
  width = (room - GAP * (columns - 1)) / columns;
  height = Math.round(width * 0.62) + WORDS;
  grid.style.height = `${Math.ceil(shown.length / columns) * (height + GAP)}px`;
}

function place(cell, index) {
  const row = Math.floor(index / columns), column = index % columns;
  cell.style.transform = `translate(${column * (width + GAP)}px, ${row * (height + GAP)}px)`;
  cell.style.width = `${width}px`;
  cell.style.height = `${height}px`;
}

function makeCell(index) {
  const row = shown[index];
  const cell = document.createElement("a");
  cell.className = row.wrong ? "cell wrong" : "cell";
  cell.dataset.index = index;
  cell.setAttribute("role", "gridcell");
  if (row.page || row.overlay) cell.href = address(row.page || row.overlay);
  if (row.overlay) {
    const image = new Image();
    image.decoding = "async";
    image.alt = "";
    image.src = address(row.overlay);
    cell.append(image);
  } else {
    cell.append(made("span", "missing", row.error || row.status));
  }
  const words = made("span", "words", "");
  words.append(made("span", "name", title(row)), made("span", "path", row.path));
  cell.append(words);
  cell.title = row.path;
  return cell;
}

function made(tag, name, content) {
  const created = document.createElement(tag);
  created.className = name;
  created.textContent = content;
  return created;
}

function title(row) {
  if (row.status !== "ok") return row.status;
  if (row.label == null) return "";
  const said = row.score == null ? row.label : `${row.label} · ${percent(row.score)}`;
  return row.wrong ? `${said}, not ${row.truth}` : said;
}

function draw() {
  const top = grid.getBoundingClientRect().top;
  const step = height + GAP;
  const first = Math.max(0, Math.floor((-top - innerHeight / 2) / step)) * columns;
  const last = Math.min(shown.length, Math.ceil((innerHeight * 1.5 - top) / step) * columns);
  for (const [index, cell] of cells) {
    if (index < first || index >= last) {
      if (cell !== document.activeElement) { cell.remove(); cells.delete(index); }
    }
  }
  for (let index = first; index < last; index++) {
    let cell = cells.get(index);
    if (!cell) {
      cell = makeCell(index);
      cells.set(index, cell);
      place(cell, index);
      grid.append(cell);
    }
    cell.tabIndex = index === current ? 0 : -1;
  }
}

function redraw() {
  for (const cell of cells.values()) cell.remove();
  cells.clear();
  measure();
  draw();
}

let waiting = false;
function later() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}

function go(index) {
  current = Math.min(Math.max(index, 0), shown.length - 1);
  const at = grid.getBoundingClientRect().top + Math.floor(current / columns) * (height + GAP);
  const head = getComputedStyle(document.querySelector("header")).position === "sticky"
    ? document.querySelector("header").offsetHeight : 0;
  if (at < head) scrollBy(0, at - head - GAP);
  else if (at + height > innerHeight) scrollBy(0, at + height + GAP - innerHeight);
  draw();
  cells.get(current)?.focus({ preventScroll: true });
}

// ---- one overlay, large ----

const large = element("large");
let enlarged = 0; // its index: the browser gives the focus back to the cell that opened it

function enlarge(index) {
  enlarged = index;
  const row = shown[index];
  element("large-name").textContent = row.path;
  const facts = [title(row)];
  if (row.explained != null && row.explained !== row.label) facts.push(`map for ${row.explained}`);
  if (row.faithfulness != null) facts.push(`LeRF − MoRF ${row.faithfulness.toFixed(3)}`);
  if (row.error) facts.push(row.error);
  element("large-facts").textContent = facts.filter(Boolean).join(" · ");
  element("large-image").hidden = !row.overlay;
  element("large-image").alt = `Overlay of ${row.path}`;
  if (row.overlay) element("large-image").src = address(row.overlay);
  element("large-page").hidden = !row.page;
  if (row.page) element("large-page").href = address(row.page);
  element("previous").disabled = index === 0;
  element("next").disabled = index === shown.length - 1;
  if (!large.open) large.showModal();
}

function open(index) {
  if (shown[index].page) location.href = address(shown[index].page);
  else enlarge(index);
}

// ---- events ----

const ARROWS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns, ArrowDown: () => columns };

grid.addEventListener("click", (event) => {
  const cell = event.target.closest(".cell");
  if (!cell || event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as the browser does
  event.preventDefault();
  open(Number(cell.dataset.index));
});
grid.addEventListener("focusin", (event) => {
  const cell = event.target.closest(".cell");
  if (cell) current = Number(cell.dataset.index);
});
grid.addEventListener("keydown", (event) => {
  const visible = Math.max(1, Math.floor(innerHeight / (height + GAP))) * columns;
  const steps = {
    ...ARROWS,
    PageDown: () => visible,
    PageUp: () => -visible,
    Home: () => -shown.length,
    End: () => shown.length,
  };
  if (event.key in steps) { event.preventDefault(); go(current + steps[event.key]()); }
  else if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(current); }
});
document.addEventListener("keydown", (event) => {
  if (large.open) {
    if (event.key === "ArrowLeft" && enlarged > 0) enlarge(enlarged - 1);
    if (event.key === "ArrowRight" && enlarged < shown.length - 1) enlarge(enlarged + 1);
  } else if (event.key === "/" && event.target !== element("find")) {
    event.preventDefault();
    element("find").focus();
  }
});
large.addEventListener("close", () => go(enlarged));
large.addEventListener("click", (event) => { if (event.target === large) large.close(); });
element("close").addEventListener("click", () => large.close());
element("previous").addEventListener("click", () => enlarge(enlarged - 1));
element("next").addEventListener("click", () => enlarge(enlarged + 1));
addEventListener("scroll", later, { passive: true });
addEventListener("resize", () => { measure(); for (const [index, cell] of cells) place(cell, index); later(); });
addEventListener("hashchange", () => { readAddress(); showState(); choose(); redraw(); });
element("controls").addEventListener("submit", (event) => event.preventDefault());

function control(id, value) {
  element(id).addEventListener("input", () => {
    state[id] = value(element(id));
    choose();
    scrollTo(0, 0);
    redraw();
  });
}
for (const id of ["find", "label", "order"]) control(id, (field) => field.value);
for (const id of ["mistakes", "bad"]) control(id, (field) => field.checked);

function showState() {
  for (const id of ["find", "label", "order"]) element(id).value = state[id];
  for (const id of ["mistakes", "bad"]) element(id).checked = state[id];
}

// ---- begin ----

element("caption").textContent = data.caption;
if (data.caption) document.title = `Attention · ${data.caption}`;
const numbers = new Map();
for (const row of rows) if (row.label != null) numbers.set(row.label, (numbers.get(row.label) ?? 0) + 1);
element("label").append(new Option("all", ""));
for (const label of [...numbers.keys()].sort(text.compare)) {
  element("label").append(new Option(`${label} (${numbers.get(label)})`, label));
}
for (const [name, [words, , offered]] of Object.entries(ORDERS)) {
  if (offered()) element("order").append(new Option(words, name));
}
element("label-field").hidden = numbers.size < 2;
element("mistakes-field").hidden = !rows.some((row) => row.truth != null);
element("bad-field").hidden = !rows.some((row) => row.status !== "ok");
readAddress();
showState();
choose();
redraw();
