/* The view as a file: an SVG put together from what is drawn, and a PNG made of that. */

const WIDE = 960; // units of an exported figure
const EDGE = 24;
const FACE = "system-ui, sans-serif";

const escaped = (string) => String(string).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

function element(tag, attributes, content = "") {
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
  return `<${tag}${written}>${content}</${tag}>`;
}

const letters = (x, y, size, string, attributes = {}) =>
  element("text", { x, y, "font-size": size, fill: "#1c1e22", ...attributes }, escaped(string));

function askedNow() {
  const query = currentQuery();
  const vector = vectorOf(query);
  return { query, vector, row: rowOf(vector), column: columnOf(vector) };
}

/** The map over the picture: one rectangle per patch, and a frame around the query. */
function pictureBody(map, values, limits, asked) {
  const under = el("stage").querySelector("canvas.under");
  const height = under ? (WIDE * under.height) / under.width : (WIDE * grid[0]) / grid[1];
  const [cellWide, cellHigh] = [WIDE / grid[1], height / grid[0]];
  const box = (cell) => ({
    x: (cell % grid[1]) * cellWide, y: Math.floor(cell / grid[1]) * cellHigh, width: cellWide, height: cellHigh,
  });
  const picture = under && (state.bare ? facts.picture : under.toDataURL("image/jpeg", 0.9));
  let body = picture ? element("image", { href: picture, width: WIDE, height, preserveAspectRatio: "none" }) : "";
  const cells = Array.from(values, (value, cell) =>
    element("rect", { ...box(cell), fill: colours.css[entryOf(value, limits, facts.flat)] })).join("");
  const hidden = state.bare || whyFlat(map, limits, asked.query) !== "";
  const opacity = hidden ? 0 : under ? state.opacity : 1;
  body += element("g", { opacity, "shape-rendering": "crispEdges" }, cells);
  const [query] = marked(map, asked);
  if (query !== null && query >= 0) {
    body += element("rect", { ...box(query), fill: "none", stroke: "#000", "stroke-width": 5 });
    body += element("rect", { ...box(query), fill: "none", stroke: "#fff", "stroke-width": 2 });
  }
  return { height, body };
}

/** The words as coloured boxes, line by line. */
function wordsBody(map, values, limits, asked) {
  const context = make("canvas").getContext("2d");
  context.font = `20px ${FACE}`;
  let [left, line] = [0, 0];
  const [query] = marked(map, asked);
  const body = facts.words.map((word, token) => {
    const wide = Math.min(WIDE, context.measureText(word).width + 16);
    if (left + wide > WIDE || token === facts.target) [left, line] = [0, line + 1];
    const entry = apart[token] || limits.none ? null : entryOf(values[token], limits, facts.flat);
    const stroke = token === query ? { stroke: "#000", "stroke-width": 3 } : {};
    const box = { x: left, y: 40 * line + 3, width: wide, height: 32, rx: special[token] ? 16 : 5, ...stroke };
    const drawn = element("rect", { ...box, fill: entry === null ? "#e2e2dd" : colours.css[entry] })
      + letters(left + 8, 40 * line + 26, 20, word, { fill: entry === null ? "#1c1e22" : colours.ink[entry] });
    left += wide + 6;
    return drawn;
  }).join("");
  return { height: 40 * (line + 1), body };
}

/** The matrix as an image of a pixel per pair; the words of a short text stand above and beside it. */
function matrixBody() {
  const named = text && tokens <= MOST_LABELS;
  const [left, top, side] = named ? [180, 120, WIDE - 180] : [0, 0, WIDE];
  const image = { href: parts.matrix.canvas.toDataURL(), x: left, y: top, width: side, height: side };
  let body = element("image", { ...image, "image-rendering": "pixelated" });
  if (named) {
    const step = side / tokens;
    const size = Math.min(16, step * 0.8);
    facts.words.forEach((word, token) => {
      const along = (token + 0.5) * step + size / 3;
      body += letters(left - 8, top + along, size, word, { "text-anchor": "end" });
      body += letters(0, 0, size, word, { transform: `translate(${left + along} ${top - 8}) rotate(-90)` });
    });
  }
  return { height: top + side, body };
}

function linesBody(asked) {
  const list = threads(asked);
  const full = fullWeight(list);
  const [left, right, step] = [WIDE * 0.3, WIDE * 0.7, 30];
  const curves = list.filter(([, , weight]) => full && weight / full >= 0.02).map(([query, key, weight]) => {
    const strength = Math.min(1, weight / full);
    const [from, to] = [(query + 0.5) * step, (key + 0.5) * step];
    return element("path", {
      d: `M${left} ${from}C${WIDE / 2} ${from} ${WIDE / 2} ${to} ${right} ${to}`,
      fill: "none", stroke: apart[key] ? "#5b616b" : "#1d5fc4",
      "stroke-width": 0.5 + 2.5 * strength, "stroke-opacity": shade(strength, key, asked.query === "read"),
      ...(apart[key] ? { "stroke-dasharray": "2 4" } : {}),
    });
  }).join("");
  const names = facts.words.map((word, token) =>
    letters(left - 10, (token + 0.7) * step, 18, word, { "text-anchor": "end" })
    + letters(right + 10, (token + 0.7) * step, 18, word)).join("");
  return { height: tokens * step, body: curves + names };
}

/** The bar of colours with its two ends. */
function barBody(y) {
  const step = WIDE / 2 / 64;
  const ramp = Array.from({ length: 64 }, (_, each) =>
    element("rect", { x: WIDE / 4 + each * step, y, width: step + 0.5, height: 12, fill: colours.css[4 * each + 2] }));
  return ramp.join("")
    + letters(WIDE / 4 - 10, y + 12, 16, el("low").textContent, { "text-anchor": "end" })
    + letters((3 * WIDE) / 4 + 10, y + 12, 16, el("high").textContent);
}

/** What it is of: file, model, and where it shows attention, whose. */
function subtitle(map) {
  const source = state.view !== "map" || isLive(map) ? nameOfSource() : "";
  return [facts.name, facts.caption, source].filter(Boolean).join(" · ");
}

/** The view as an SVG document. */
function exportedSvg() {
  const asked = askedNow();
  const map = maps.find(({ id }) => id === state.shown);
  const values = onPatches(map, map.values(asked));
  const limits = limitsOf(map, values, asked.query);
  const { height, body } = {
    map: () => (text ? wordsBody : pictureBody)(map, values, limits, asked),
    lines: () => linesBody(asked),
    matrix: matrixBody,
  }[state.view]();
  const below = height + 24;
  const bar = state.view === "lines" ? "" : barBody(below);
  const all = letters(0, 22, 24, el("shown").textContent, { "font-weight": 600 })
    + letters(0, 48, 16, subtitle(map), { fill: "#5b616b" })
    + element("g", { transform: "translate(0 68)" }, body + bar);
  const [width, whole] = [WIDE + 2 * EDGE, 68 + below + 24 + 2 * EDGE];
  return element("svg", {
    xmlns: "http://www.w3.org/2000/svg", width, height: whole, viewBox: `0 0 ${width} ${whole}`,
    "font-family": FACE,
  }, element("rect", { width: "100%", height: "100%", fill: "#fff" })
    + element("g", { transform: `translate(${EDGE} ${EDGE})` }, all));
}

async function png(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = make("canvas");
  canvas.width = 2 * image.width; // for screens and print of twice the resolution
  canvas.height = 2 * image.height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** Hand the view over as a file. */
async function save(suffix) {
  const svg = exportedSvg();
  const blob = suffix === "png" ? await png(svg) : new Blob([svg], { type: "image/svg+xml" });
  const download = make("a");
  download.href = URL.createObjectURL(blob);
  download.download = `${facts.name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 60) || "attention"}.${suffix}`;
  download.click();
  setTimeout(() => URL.revokeObjectURL(download.href), 10_000);
}
