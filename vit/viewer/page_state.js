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
const counted = words.length ? words : allPlaces;

const el = (id) => document.getElementById(id);

const fresh = () => ({
  source: ROLLOUT, // or { layer, head }, counted from 0; head may be FUSED
  fusion: "mean",
  discard: 0,
  pinned: null, // a token, or null
  at: null, // the token under the pointer or the keyboard's cursor, or null
  chosen: 0, // index into the listed classes
  shown: "row", // id of the map in the main view
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

function rowOf(vector, source = state.source) {
  if (source === ROLLOUT) return rolloutRow(mixed(), vector);
  const { layer, head } = source;
  if (head === FUSED) return timesMatrix(vector, fusedLayers(state.fusion)[layer]);
  return headRow(weights, layer, head, vector);
}

function columnOf(vector, source = state.source) {
  if (source === ROLLOUT) return rolloutColumn(mixed(), vector);
  const { layer, head } = source;
  if (head === FUSED) return matrixTimes(fusedLayers(state.fusion)[layer], vector);
  return headColumn(weights, layer, head, vector);
}

const currentQuery = () => state.pinned ?? state.at ?? "read";

/** The cell whose figures are shown: the one pointed at, or else the query itself. */
const currentCell = () => state.at ?? state.pinned;

/* ---- words ---- */

const figure = (value) => value.toPrecision(4);
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function nameOf(token) {
  if (token === null) return "—";
  if (token === "read") return facts.nextWord ? `the last ${kind}` : "what the head reads";
  if (text) return `“${facts.words[token]}”`;
  if (token < prefix) return facts.prefixNames[token];
  return `patch ${Math.floor((token - prefix) / grid[1])},${(token - prefix) % grid[1]}`;
}

function nameOfSource() {
  if (state.source === ROLLOUT) return `the rollout over ${layers === 1 ? "the layer" : `all ${layers} layers`}`;
  const { layer, head } = state.source;
  return `layer ${layer}, ${head === FUSED ? `${state.fusion} of its heads` : `head ${head}`}`;
}

/** Write a value with four significant digits, and all its digits beside it for whoever measures. */
function showValue(element, value) {
  if (value === undefined || value === null) {
    element.textContent = "—";
    delete element.dataset.value;
  } else {
    element.textContent = figure(value);
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
    values: (now) => now.row,
    legend: (now) => `Brighter: ${nameOf(now.query)} draws more on this ${kind}, in ${nameOfSource()}.`,
  },
  {
    id: "column",
    title: "Attends to the query",
    values: (now) => now.column,
    legend: (now) => `Brighter: this ${kind} draws more on ${nameOf(now.query)}, in ${nameOfSource()}.`,
  },
];
if (facts.lens && facts.classes.length) {
  maps.push({
    id: "lens",
    title: facts.nextWord ? "comes next" : "logit lens",
    perClass: true,
    values: () => facts.lens.map((line) => line[state.chosen]),
    legend: () => (facts.nextWord
      ? `Brighter: the model says ${chosenClass()} after this ${kind} with more certainty.`
      : `Brighter: read alone, the head takes this ${kind} for ${chosenClass()} with more certainty.`),
  });
}
facts.maps.forEach(([title, lines], index) => {
  const perClass = lines.length > 1;
  maps.push({
    id: `method ${index}`,
    title,
    perClass,
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
