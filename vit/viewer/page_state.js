/* What the page knows: the facts from Python, what a person chose, and what follows from both.

   Everything a person can change stands in `state`; `change` in page.js is the only one to replace it. */

const facts = JSON.parse(document.getElementById("data").textContent);
const { layers, heads, tokens, prefix, grid } = facts;
const text = grid === null;
const patches = tokens - prefix;
const special = text ? facts.special : Array(patches).fill(false);
const outliers = new Set(facts.outliers ?? []);
const colours = readColours(facts.colours);
const read = Float64Array.from(facts.read);
const FUSED = "fused"; // the head column that shows a layer's heads together
const ROLLOUT = "rollout"; // the source that multiplies all layers

// Colours span the words: a mark such as [SEP] often takes most attention, and would leave the words all dark.
const allPlaces = Array.from({ length: patches }, (_, place) => place);
const words = allPlaces.filter((place) => !special[place]);
const setsApart = facts.apart && words.length > 0;
const counted = setsApart ? words : allPlaces;
const apart = setsApart ? special : Array(patches).fill(false); // without a colour

const el = (id) => document.getElementById(id);

const fresh = () => ({
  source: ROLLOUT, // or { layer, head }, counted from 0; head may be FUSED
  fusion: "mean",
  discard: 0,
  pinned: null, // a token, or null
  at: null, // the token under the pointer or the keyboard's cursor, or null
  chosen: 0, // index into the listed classes
  shown: "row", // id of the map in the main view
  view: "map", // or "matrix", or of a text "lines"
  opacity: facts.strength, // of the heat over a picture
  bare: false, // whether the picture is shown without a map
  second: null, // a map kept beside the main one: { shown, source }
  ...facts.start,
});
let state = fresh();
let lastAt = null; // where the keyboard's cursor was before it left
let lastDraw = 0; // milliseconds
let weights;

/* ---- what is computed ---- */

const fusedLayers = remember(3, (fusion) =>
  Array.from({ length: layers }, (_, layer) => fuse(weights, layer, fusion)));

const mixedLayers = remember(6, (key) => {
  const [fusion, share] = key.split(" ");
  return fusedLayers(fusion).map((matrix) =>
    withResidual(discard(matrix, tokens, prefix, Number(share)), tokens));
});

const mixed = () => mixedLayers(`${state.fusion} ${state.discard}`);

/** The weighting that a query stands for: one token, or what the head reads. */
function vectorOf(query) {
  if (query === "read") return read;
  const vector = new Float64Array(tokens);
  vector[query] = 1;
  return vector;
}

const readRows = remember(4, () => new Map()); // by fusion and share; what the head reads is asked for most

function rowOf(vector, source = state.source) {
  if (vector !== read) return freshRow(vector, source);
  const rows = readRows(`${state.fusion} ${state.discard}`);
  const key = keyOf(source);
  if (!rows.has(key)) rows.set(key, freshRow(vector, source));
  return rows.get(key);
}

function freshRow(vector, source) {
  if (facts.fixed) return headRow(weights, source === ROLLOUT ? layers : source.layer, 0, vector);
  if (source === ROLLOUT) return rolloutRow(mixed(), vector);
  const { layer, head } = source;
  if (head === FUSED) return timesMatrix(vector, fusedLayers(state.fusion)[layer]);
  return headRow(weights, layer, head, vector);
}

function columnOf(vector, source = state.source) {
  if (facts.fixed) return headColumn(weights, source === ROLLOUT ? layers : source.layer, 0, vector);
  if (source === ROLLOUT) return rolloutColumn(mixed(), vector);
  const { layer, head } = source;
  if (head === FUSED) return matrixTimes(fusedLayers(state.fusion)[layer], vector);
  return headColumn(weights, layer, head, vector);
}

const keyOf = (source) => (source === ROLLOUT ? ROLLOUT : `${source.layer}.${source.head}`);

const currentQuery = () => state.pinned ?? state.at ?? "read";

/** The cell whose figures are shown: the one pointed at, or else the query itself. */
const currentCell = () => state.at ?? state.pinned;

/* ---- words ---- */

const figure = (value) => value.toPrecision(4);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const share = (value) => (value === 0 ? "0 %" : `${(100 * value).toPrecision(3)} %`);
const writes = (map) => (map.share ? share : figure);

function nameOf(token) {
  if (token === null) return "—";
  if (token === "read") return facts.nextWord ? `the last ${kind}` : "what the head reads";
  if (text) return `“${facts.words[token]}”`;
  if (token < prefix) return facts.prefixNames[token];
  return `patch ${Math.floor((token - prefix) / grid[1])},${(token - prefix) % grid[1]}`;
}

const numberOf = (layer) => facts.layerNumbers[layer];

function nameOfSource(source = state.source) {
  if (source === ROLLOUT) {
    return `the rollout over ${layers === 1 || facts.fixed ? "the layers" : `all ${layers} layers`}`;
  }
  const { layer, head } = source;
  return `layer ${numberOf(layer)}, ${head === FUSED ? `${state.fusion} of its heads` : `head ${head}`}`;
}

/** Write a value with few digits, and all its digits beside it for whoever measures. */
function showValue(element, value, write = figure) {
  if (value === undefined || value === null) {
    element.textContent = "—";
    delete element.dataset.value;
  } else {
    element.textContent = write(value);
    element.dataset.value = value;
  }
}

/* ---- the maps: two of attention, the lens, and one per method ---- */

const kind = text ? "token" : "patch";
const kindPlural = text ? "tokens" : "patches";
const chosenClass = () => facts.classes[state.chosen]?.[0] ?? "";

const forWhom = (perClass) => (perClass ? `, for ${chosenClass()}` : "");

const maps = [
  {
    id: "row",
    title: "The query attends to",
    share: true,
    values: (now) => now.row,
    legend: (now) => `Brighter: ${nameOf(now.query)} draws more on this ${kind}, in ${nameOfSource()}.`,
  },
  {
    id: "column",
    title: "Attends to the query",
    share: true,
    values: (now) => now.column,
    legend: (now) => `Brighter: this ${kind} draws more on ${nameOf(now.query)}, in ${nameOfSource()}.`,
  },
];
if (facts.lens && facts.classes.length) {
  maps.push({
    id: "lens",
    title: facts.nextWord ? "comes next" : "logit lens",
    perClass: true,
    share: true,
    values: () => facts.lens.map((line) => line[state.chosen]),
    legend: () => (facts.nextWord
      ? `Brighter: the model says ${chosenClass()} after this ${kind} with more certainty.`
      : `Brighter: read alone, the head takes this ${kind} for ${chosenClass()} with more certainty.`),
  });
}
facts.maps.forEach(([title, lines, isShare], index) => {
  const perClass = lines.length > 1;
  maps.push({
    id: `method ${index}`,
    title,
    perClass,
    share: isShare,
    values: () => lines[perClass ? state.chosen : 0],
    legend: () => `Brighter: this ${kind} counts more by the method ${title}${forWhom(perClass)}.`,
  });
});
const isLive = (map) => map.id === "row" || map.id === "column"; // drawn anew for each query

/** What a map says of each patch: attention is over all tokens, and loses its prefix here. */
const onPatches = (map, values) => (isLive(map) ? values.subarray(prefix) : values);

const RESOLUTION = 1 / 255; // of a weight, which is kept as one byte

/** The range of a map's colours. A patch's tie to itself, mostly far above all others, takes no part in it. */
function limitsOf(map, values, query) {
  if (!isLive(map)) return span(values, counted);
  const others = counted.filter((place) => place !== query - prefix);
  return span(values, others.length ? others : counted, RESOLUTION);
}

/** Why a map of attention has no colours, or nothing where it has. */
function whyFlat(map, { even, none, high }, query) {
  if (!isLive(map) || !even) return "";
  const others = query === "read" ? kindPlural : `other ${kindPlural}`;
  if (none) return `no attention ${map.id === "row" ? "to" : "from"} ${others}`;
  if (query === "read" && map.id === "column" && readsMean) {
    return `${share(high)} each: the query is the mean of all ${kindPlural}`;
  }
  return `${share(high)} each`;
}
const readsMean = read.every((weight) => weight === read[0]);

function rangeOf(map, { low, high }) {
  return map.share
    ? `${(100 * low).toPrecision(2)} to ${(100 * high).toPrecision(2)}\u00a0%`
    : `${low.toPrecision(2)} to ${high.toPrecision(2)}`;
}

function titleOf(map, now) {
  return {
    row: `What ${now.query === "read" && !facts.nextWord ? "the head" : nameOf(now.query)} attends to`,
    column: `What attends to ${nameOf(now.query)}`,
  }[map.id] ?? (map.perClass ? `${map.title}: ${chosenClass()}` : map.title);
}

/** What the colours leave out: values beyond their range, and special tokens. */
function aboutScale(map, { low, high, least, most }, values) {
  const above = counted.filter((place) => values[place] > high && values[place] <= most).length;
  const below = counted.filter((place) => values[place] < low && values[place] >= least).length;
  const said = (count, way, end) =>
    `${count} ${count === 1 ? kind : kindPlural} ${way} the scale, up to ${writes(map)(end)}`;
  const notes = [];
  if (above) notes.push(said(above, "above", most));
  if (below) notes.push(said(below, "below", least));
  if (apart.some(Boolean)) notes.push("special tokens are set apart from the scale, with their value beside them");
  const line = notes.join("; ");
  return line && `${line[0].toUpperCase()}${line.slice(1)}.`;
}
