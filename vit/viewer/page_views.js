/* The two other views of attention: lines between the words of a text, and the matrix of all tokens. */

const MOST_LABELS = 48; // tokens of a matrix whose names still fit beside it
const MOST_PIXELS = 16_000; // of the height of a canvas, which browsers limit
const MOST_STEPS = 4e8; // products for the matrix of a rollout, about half a second

const matrices = remember(3, (key) => {
  const { source } = state;
  if (facts.fixed || (source !== ROLLOUT && source.head !== FUSED)) {
    return matrixOf((vector) => rowOf(vector, source), tokens);
  }
  if (source !== ROLLOUT) return fusedLayers(state.fusion)[source.layer];
  return layers * tokens ** 3 > MOST_STEPS ? null : matrixOf((vector) => rowOf(vector), tokens);
});

/** The matrix of the chosen source; null where it would take too long. */
const matrixNow = () => matrices(`${keyOf(state.source)} ${state.fusion} ${state.discard}`);

/** Whether a key has no colour: it comes before the patches, or is a special token. */
const setApart = (key) => key < prefix || apart[key - prefix];

/** The range of colours of a matrix, without what tokens give themselves and what special ones draw. */
function matrixLimits(matrix) {
  const places = [];
  const stride = Math.max(1, Math.floor(tokens ** 2 / 40_000)) | 1; // of many entries, a sample
  for (let place = 0; place < matrix.length; place += stride) {
    const key = place % tokens;
    if (!setApart(key) && key !== Math.floor(place / tokens)) places.push(place);
  }
  return span(matrix, places.length ? places : [0], 0);
}

function buildViews() {
  buildMatrix();
  if (text) buildLines();
}

/* ---- the matrix ---- */

function buildMatrix() {
  const host = el("matrix");
  const clear = Uint8Array.from({ length: tokens ** 2 }, (_, cell) => setApart(cell % tokens));
  const { canvas, paint } = heatCanvas(tokens, tokens, colours, facts.flat, clear);
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label",
    `Matrix of ${tokens} queries by ${tokens} keys; arrow keys move, Enter pins the query`);
  const mark = cellMark("mark at", [tokens, tokens]);
  const field = make("div", "field");
  field.append(canvas, mark.mark);
  const said = make("p", "note");
  said.setAttribute("role", "status");
  const labels = (className) => {
    const line = make("div", className);
    for (let token = 0; token < tokens; token++) line.append(make("span", "", nameShort(token)));
    return line;
  };
  const named = text && tokens <= MOST_LABELS;
  host.classList.toggle("named", named);
  if (named) host.append(make("i"), labels("keys"), labels("queries"));
  host.append(field);
  el("figure").insertBefore(said, el("bar"));
  let cell = 0;
  const point = (to) => {
    cell = to;
    mark.place(cell);
    const [query, key] = [Math.floor(cell / tokens), cell % tokens];
    said.textContent = `${nameOf(query)} attends to ${nameOf(key)} with ${share(matrixNow()[cell])}.`;
  };
  canvas.addEventListener("pointermove", (event) => {
    const box = canvas.getBoundingClientRect();
    const inside = (part) => Math.max(0, Math.min(tokens - 1, Math.floor(part * tokens)));
    point(inside((event.clientY - box.top) / box.height) * tokens + inside((event.clientX - box.left) / box.width));
  });
  const pin = () => togglePin(Math.floor(cell / tokens), true);
  canvas.addEventListener("click", pin);
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pin();
      return;
    }
    const next = stepped(cell, event.key, tokens, tokens);
    if (next === null) return;
    event.preventDefault();
    point(next);
  });
  parts.matrix = { canvas, paint, said, mark, drawn: null };
}

const nameShort = (token) => (text ? facts.words[token] : nameOf(token));

function drawMatrix() {
  const { paint, said, mark } = parts.matrix;
  const matrix = matrixNow();
  if (matrix === null) {
    said.textContent = `The matrix of the rollout over ${tokens} tokens takes too long: choose a layer.`;
    return null;
  }
  if (parts.matrix.drawn !== matrix) {
    parts.matrix.limits = matrixLimits(matrix);
    paint(matrix, parts.matrix.limits);
    parts.matrix.drawn = matrix;
    mark.place(null);
    const clear = text ? "special tokens" : "the tokens before the patches";
    said.textContent = "Rows are queries, columns keys. The scale leaves out what tokens give themselves"
      + (prefix || apart.some(Boolean) ? ` and ${clear}, which have no colour.` : ".");
  }
  return parts.matrix.limits;
}

/* ---- lines ---- */

function buildLines() {
  const host = el("lines");
  const column = (tag) => {
    const words = make("div", "words");
    const chips = facts.words.map((word, token) => make(tag, special[token] ? "word special" : "word", word));
    words.append(...chips);
    return { words, chips };
  };
  const queries = column("button");
  const keys = column("span");
  queries.chips.forEach((chip, token) => listen(chip, token));
  const canvas = make("canvas", "threads");
  host.append(queries.words, canvas, keys.words);
  parts.lines = { queries, keys, canvas };
}

/** The lines to be drawn, [query, key, weight]: of the token asked for, or of all. */
function threads(now) {
  const list = [];
  const add = (query, row) => row.forEach((weight, key) => list.push([query, key, weight]));
  if (now.query !== "read") add(now.query, now.row);
  else if (tokens <= MOST_LABELS) {
    const matrix = matrixNow();
    for (let query = 0; query < tokens; query++) add(query, matrix.subarray(query * tokens, (query + 1) * tokens));
  } else add(lastRead, now.row);
  return list;
}

/** The weight of a line drawn in full: the largest between two words. */
const fullWeight = (list) => list.reduce((most, [query, key, weight]) =>
  (query === key || apart[key] ? most : Math.max(most, weight)), 0);

/** How dark a line is: among the lines of all words the strong ones have to stand out. */
const shade = (strength, key, all) => Math.min(all ? strength ** 3 : strength, apart[key] ? 0.4 : 1);

function drawLines(now) {
  const { queries, keys, canvas } = parts.lines;
  const list = threads(now);
  const full = fullWeight(list);
  const box = canvas.getBoundingClientRect();
  const ratio = Math.min(window.devicePixelRatio, MOST_PIXELS / box.height);
  canvas.width = box.width * ratio;
  canvas.height = box.height * ratio;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const height = box.height / tokens;
  const style = getComputedStyle(document.body);
  for (const [query, key, weight] of list) {
    const strength = full ? Math.min(1, weight / full) : 0;
    if (strength < 0.02) continue;
    context.strokeStyle = style.getPropertyValue(apart[key] ? "--faint" : "--accent");
    context.setLineDash(apart[key] ? [2, 4] : []);
    context.globalAlpha = shade(strength, key, now.query === "read");
    context.lineWidth = 0.5 + 2.5 * strength;
    context.beginPath();
    context.moveTo(0, (query + 0.5) * height);
    context.bezierCurveTo(
      box.width / 2, (query + 0.5) * height, box.width / 2, (key + 0.5) * height, box.width, (key + 0.5) * height);
    context.stroke();
  }
  queries.chips.forEach((chip, token) => {
    chip.classList.toggle("query", token === now.query);
    chip.setAttribute("aria-pressed", token === state.pinned);
  });
  keys.chips.forEach((chip, token) => {
    if (now.query === "read") delete chip.dataset.share;
    else chip.dataset.share = share(now.row[token]);
  });
  return { low: 0, high: full };
}

/** Show the view that was chosen; the two others hide. */
function drawView(now) {
  const { view } = state;
  el("pair").hidden = view !== "map";
  el("lines").hidden = view !== "lines";
  el("matrix").hidden = view !== "matrix";
  parts.matrix.said.hidden = view !== "matrix";
  el("strength").hidden = view !== "map" || text || !facts.picture;
  el("bar").hidden = view === "lines" || (view === "map" && state.bare);
  el("tick").classList.toggle("unseen", view === "matrix");
  if (view === "map") return;
  el("clipped").textContent = "";
  const title = { lines: "Who attends to whom", matrix: "All tokens by all tokens" }[view];
  el("shown").textContent = title;
  if (view === "lines") {
    const { high } = drawLines(now);
    el("legend").textContent = `Left the query, right what it attends to, in ${nameOfSource()}. `
      + `The strongest line between two words is ${share(high)}; dashed lines lead to special tokens.`;
    return;
  }
  el("legend").textContent = `In ${nameOfSource()}.`;
  const limits = drawMatrix();
  showValue(el("low"), limits?.low, share);
  showValue(el("high"), limits?.high, share);
}
