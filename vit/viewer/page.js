/* Changing and drawing: `change` takes over what somebody did, `update` draws the page from `state`. */

let asked = false;

/** Take over what changed, and draw before the next frame; many changes in one frame are drawn once. */
function change(difference) {
  const differs = Object.entries(difference).some(([key, value]) => state[key] !== value);
  if (!differs) return;
  state = { ...state, ...difference };
  if (state.at !== null && state.at >= prefix) lastAt = state.at;
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    update();
  });
}

/** Pin a token, or release it where it was pinned; a finger, unlike a pointer, then points at nothing. */
function togglePin(token, touched = false) {
  const release = state.pinned === token;
  change({ pinned: release ? null : token, at: release && touched ? null : token });
}

function update() {
  const started = performance.now();
  const query = currentQuery();
  const vector = vectorOf(query);
  const now = { query, vector, row: rowOf(vector), column: columnOf(vector) };
  drawPanels(now);
  const main = drawMain(now);
  drawSecond(now);
  drawView(now);
  drawPrefix(now, main);
  drawHeads(now);
  drawGauge(now);
  drawReadout(now, main);
  drawClasses();
  drawControls();
  keepLink();
  lastDraw = performance.now() - started;
}

const drawn = { chosen: null }; // for which class the maps that wait for no query were drawn

/** The two cells that are framed in every map: the query, and the one pointed at. */
function framed({ query }) {
  return [query === "read" ? null : query - prefix, state.at === null ? null : state.at - prefix];
}

function drawPanels(now) {
  for (const map of maps) {
    const { panel, range, paint, place, fade } = parts.panels.get(map.id);
    panel.setAttribute("aria-pressed", map.id === state.shown && !state.bare);
    place(...marked(map, now));
    fade(state.opacity);
    if (!isLive(map) && drawn.chosen === state.chosen) continue;
    const values = onPatches(map, map.values(now));
    const limits = limitsOf(map, values, now.query);
    paint(values, limits);
    const flat = whyFlat(map, limits, now.query);
    panel.classList.toggle("flat", flat !== "");
    range.textContent = flat || rangeOf(map, limits);
  }
  drawn.chosen = state.chosen;
}

/** What is framed in a map: the query only where the map depends on it. */
function marked(map, now) {
  const [query, at] = framed(now);
  return isLive(map) ? [query, at] : [null, at];
}

/** Draw the main view; what it shows is returned for those who name its figures. */
function drawMain(now) {
  const map = maps.find(({ id }) => id === state.shown);
  const values = map.values(now);
  const limits = limitsOf(map, onPatches(map, values), now.query);
  const flat = whyFlat(map, limits, now.query);
  parts.stage.paint(onPatches(map, values), limits, writes(map));
  parts.stage.place(...marked(map, now));
  parts.stage.fade(flat ? 0 : state.opacity);
  if (text) parts.stage.chips.forEach((chip, token) => chip.setAttribute("aria-pressed", token === state.pinned));
  el("shown").textContent = titleOf(map, now);
  const independent = isLive(map) ? "" : " It does not depend on the query.";
  el("legend").textContent = flat
    ? `No colours: ${flat}. Point at a ${kind} to ask for it.`
    : map.legend(now) + independent;
  showValue(el("low"), limits.low, writes(map));
  showValue(el("high"), limits.high, writes(map));
  el("clipped").textContent = flat ? "" : aboutScale(map, limits, onPatches(map, values));
  drawOriginal(now);
  return { map, values, limits };
}

/** The picture, small and with its marks, and in the main view where it is shown without a map. */
function drawOriginal(now) {
  if (!parts.original) return;
  const [query, at] = framed(now);
  parts.original.query.place(query);
  parts.original.at.place(at === query ? null : at);
  parts.original.whole.hidden = !state.bare;
  if (state.bare) {
    el("shown").textContent = "The picture as the model saw it";
    for (const id of ["legend", "clipped"]) el(id).textContent = "";
  }
  el("plain").setAttribute("aria-pressed", state.bare);
}

/** The map kept beside the main one, for the same query. */
function drawSecond(now) {
  const { second } = state;
  el("second").hidden = second === null;
  document.body.classList.toggle("beside", second !== null);
  el("keep").textContent = second === null ? "Keep beside" : "Remove the map beside";
  el("keep").setAttribute("aria-pressed", second !== null);
  if (second === null) return;
  const map = maps.find(({ id }) => id === second.shown);
  const { source } = second;
  const values = map.values({ row: rowOf(now.vector, source), column: columnOf(now.vector, source) });
  const limits = limitsOf(map, onPatches(map, values), now.query);
  const flat = whyFlat(map, limits, now.query);
  parts.second.paint(onPatches(map, values), limits, writes(map));
  parts.second.place(...marked(map, now));
  parts.second.fade(flat ? 0 : state.opacity);
  const [title, range] = el("second").querySelector("figcaption").children;
  title.textContent = titleOf(map, now);
  range.textContent = [isLive(map) ? nameOfSource(source) : "", flat || rangeOf(map, limits)].filter(Boolean).join(" · ");
}

/** The value of the main map at a token; methods say nothing about the prefix. */
function mainValue({ map, values }, token) {
  if (token === null) return undefined;
  return isLive(map) ? values[token] : values[token - prefix];
}

function drawPrefix({ query }, main) {
  parts.chips.forEach(({ chip, swatch, value }, token) => {
    const weight = mainValue(main, token);
    paintChip(swatch, weight, main.limits, { colours, flat: facts.flat });
    showValue(value, weight, writes(main.map));
    chip.setAttribute("aria-pressed", state.pinned === token);
    chip.classList.toggle("query", query === token);
  });
}

function drawHeads(now) {
  const isChosen = (source) => source === state.source
    || (source.layer === state.source.layer && source.head === state.source.head && source !== ROLLOUT);
  parts.fusedTitle.textContent = state.fusion;
  for (const { button, source, paint } of parts.thumbs) {
    const chosen = isChosen(source);
    button.setAttribute("aria-checked", chosen);
    button.tabIndex = chosen ? 0 : -1;
    if (!paint) continue;
    const row = rowOf(now.vector, source).subarray(prefix);
    paint(row, span(row, counted, RESOLUTION));
  }
}

function drawGauge({ row }) {
  const total = row.reduce((sum, weight) => sum + weight, 0);
  const shares = new Float64Array(parts.gauge.length);
  row.forEach((weight, token) => (shares[parts.partOf[token]] += weight));
  const inOrder = parts.gauge.map(({ part }) => (total > 0 ? shares[part] / total : 0));
  percentages(inOrder).forEach((percentage, index) => {
    const { block, line, value } = parts.gauge[index];
    block.style.flexGrow = inOrder[index];
    value.textContent = `${percentage.toFixed(1)} %`;
    line.dataset.value = inOrder[index];
  });
}

function drawReadout(now, main) {
  const cell = currentCell();
  const patch = cell === null ? -1 : cell - prefix;
  const asked = cell === null && facts.nextWord ? lastRead : patch;
  el("query").textContent = nameOf(now.query) + (state.pinned === null ? "" : " (pinned)");
  el("cell").textContent = nameOf(cell);
  showValue(el("value-row"), cell === null ? undefined : now.row[cell], share);
  showValue(el("value-column"), cell === null ? undefined : now.column[cell], share);
  const value = mainValue(main, cell);
  showValue(el("value-map"), value, writes(main.map));
  const { low, high, even } = main.limits;
  el("tick").hidden = value === undefined || even;
  if (!el("tick").hidden) {
    el("tick").style.left = `${100 * Math.max(0, Math.min(1, (value - low) / (high - low)))}%`;
  }
  el("norm-line").hidden = !facts.norms && !facts.outliers;
  showValue(el("norm"), facts.norms?.[patch]);
  if (outliers.has(patch)) el("norm").append(" · outlier");
  el("alone-line").hidden = !facts.lensBest.length;
  const best = facts.lensBest[asked];
  el("alone").textContent = best ? `${best[0]}, ${percent(best[1])}` : "—";
}

function drawClasses() {
  const cell = currentCell();
  const line = cell === null ? undefined : facts.lens?.[cell - prefix];
  parts.classes.forEach(({ radio, alone }, index) => {
    radio.checked = index === state.chosen;
    alone.textContent = line ? percent(line[index]) : "";
  });
}

function drawControls() {
  for (const [name, value] of [["fusion", state.fusion], ["views", state.view]]) {
    for (const radio of el(name).querySelectorAll("input")) radio.checked = radio.value === value;
  }
  if (el("opacity").valueAsNumber !== state.opacity) el("opacity").value = state.opacity;
  if (el("discard").valueAsNumber !== state.discard) el("discard").value = state.discard;
  const count = discardCount(tokens, prefix, state.discard);
  el("discard-value").textContent = percent(state.discard).replace(".0", "");
  const dropped = count ? ` and drops the ${count} weakest of ${patches ** 2} weights between ${kindPlural}` : "";
  el("source-note").textContent = "Rows are layers, the first on top; columns are heads. "
    + (facts.fixed
      ? facts.leftOut
      : state.source === ROLLOUT
      ? `Rollout takes the ${state.fusion} of each layer’s heads${dropped}.`
      : `Shown: ${nameOfSource()}, as it is; discarding acts on the rollout only.`);
}

const lastRead = read.indexOf(Math.max(...read)); // from which a language model goes on

/** Say the figures of the cell that the keyboard reached; a pointer would never let the voice finish. */
function say() {
  requestAnimationFrame(() => {
    el("said").textContent = `${nameOf(currentCell())}: attended to with ${el("value-row").textContent}`;
  });
}

function drawRamp() {
  const context = document.querySelector("#ramp canvas").getContext("2d");
  const image = context.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(colours.words);
  context.putImageData(image, 0, 0);
}

async function start() {
  document.title = facts.name || "Attention";
  el("name").textContent = facts.name;
  el("caption").textContent = facts.caption;
  el("note").textContent = facts.note;
  el("help").textContent = `Point at a ${kind} to ask for it; click or Enter pins it, Esc releases. `
    + "Arrow keys move in the map and among the heads. "
    + (text
      ? "Colours span the words. "
      : "Patches are named row,column from 0; colours span the patches. ")
    + "The address of the page holds what it shows." + (facts.leftOut && ` ${facts.leftOut}`);
  el("strength").hidden = text || !facts.picture;
  document.body.classList.add(text ? "text" : "vision");
  weights = unpack(await inflate(el("weights").textContent), layers + (facts.fixed ? 1 : 0), heads, tokens);

  let picture = null;
  if (facts.picture) {
    picture = make("img");
    picture.src = facts.picture;
    await picture.decode();
  }
  const options = faceOptions(picture && mutedCanvas(picture, facts.muted));
  parts.aspect = options.aspect;
  parts.ratio = options.ratio;
  buildStage(options);
  buildOriginal(picture, options);
  buildMaps(options);
  buildSecond(options);
  buildPrefix();
  buildHeads();
  buildGauge();
  buildClasses();
  buildControls();
  buildViews();
  drawRamp();
  state = linkedState();
  update();
}

try {
  await start();
  // For tests and the console: figures with all their digits.
  window.vit = Object.freeze({
    link,
    svg: exportedSvg,
    row: (query) => Array.from(rowOf(vectorOf(query))),
    column: (key) => Array.from(columnOf(vectorOf(key))),
    state: () => structuredClone({ ...state, query: currentQuery() }),
    get lastDraw() {
      return lastDraw;
    },
  });
  el("trouble").hidden = true;
  document.querySelector("main").hidden = false;
} catch (error) {
  el("trouble").textContent = `This page could not be drawn: ${error.message}`;
  throw error;
}
