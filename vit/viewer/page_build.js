/* Building the page, once: every element that holds facts, and what happens when it is used.

   Names, labels and tokens come from outside: they reach the page as `textContent`, never as markup. */

const parts = { panels: new Map(), thumbs: [], chips: [], gauge: [] };

function faceOptions(muted) {
  const enlarged = muted ? 384 / Math.max(muted.width, muted.height) : 1;
  return {
    grid,
    muted,
    colours,
    flat: facts.flat,
    strength: facts.strength,
    words: facts.words,
    special,
    written: facts.written,
    target: facts.target,
    crisp: enlarged >= facts.crispFrom, // few pixels stay square pixels
    aspect: muted ? `${muted.width} / ${muted.height}` : grid && `${grid[1]} / ${grid[0]}`,
  };
}

function buildMaps(options) {
  for (const map of maps) {
    const panel = make("button", "panel");
    panel.type = "button";
    panel.dataset.map = map.id;
    const face = make("span", "face");
    const caption = make("span", "caption");
    const title = make("b", "", map.title);
    const range = make("small");
    caption.append(title, range);
    panel.append(face, caption);
    panel.addEventListener("click", () => change({ shown: map.id }));
    (isLive(map) ? el("around") : el("strip")).append(panel);
    parts.panels.set(map.id, { panel, range, ...(text ? textMap(face, options) : pictureMap(face, options)) });
  }
  el("methods").hidden = maps.every(isLive);
}

function buildOriginal(picture, options) {
  el("plain").hidden = text || !picture;
  if (el("plain").hidden) return;
  const host = el("original");
  host.classList.add("picture");
  host.style.aspectRatio = options.aspect;
  picture.alt = "The picture as the model saw it";
  picture.className = options.crisp ? "crisp" : "";
  host.append(picture);
  for (const cell of outliers) {
    const ring = cellMark("mark ring", grid);
    ring.place(cell);
    host.append(ring.mark);
  }
  el("rings").textContent = outliers.size ? "ringed: outlier patches" : "";
  const query = cellMark("mark query", grid);
  const at = cellMark("mark at", grid);
  host.append(query.mark, at.mark);
  parts.original = { query, at };
}

/** A token that is a button: pointing at it asks, clicking pins. */
function listen(button, token) {
  button.type = "button";
  button.dataset.token = token;
  button.addEventListener("pointerenter", (event) => {
    if (event.pointerType !== "touch") change({ at: token });
  });
  button.addEventListener("pointerleave", () => change({ at: null }));
  button.addEventListener("focus", () => change({ at: token }));
  button.addEventListener("blur", () => change({ at: null }));
  button.addEventListener("click", (event) => togglePin(token, event.pointerType === "touch"));
}

function buildPrefix() {
  el("prefix").hidden = prefix === 0;
  for (let token = 0; token < prefix; token++) {
    const chip = make("button", "chip");
    const swatch = make("i", "swatch");
    const value = make("small");
    chip.append(swatch, make("span", "", facts.prefixNames[token]), value);
    listen(chip, token);
    el("prefix").append(chip);
    parts.chips.push({ chip, swatch, value });
  }
}

function buildStage(options) {
  const stage = el("stage");
  if (text) {
    parts.stage = textMap(stage, options, "button");
    stage.setAttribute("role", "group");
    stage.setAttribute("aria-label", `${tokens} tokens; arrow keys move, Enter pins, Escape releases`);
    parts.stage.chips.forEach((chip, token) => {
      listen(chip, token);
      chip.tabIndex = token === 0 ? 0 : -1;
    });
    stage.addEventListener("keydown", (event) => {
      const token = Number(event.target.dataset.token);
      const next = steppedToken(token, event.key);
      if (next === null) return;
      event.preventDefault();
      parts.stage.chips[token].tabIndex = -1;
      parts.stage.chips[next].tabIndex = 0;
      parts.stage.chips[next].focus();
      say();
    });
    return;
  }
  parts.stage = pictureMap(stage, options);
  stage.tabIndex = 0;
  stage.setAttribute("role", "application");
  stage.setAttribute("aria-label",
    `Map of ${grid[0]} by ${grid[1]} patches; arrow keys move, Enter pins, Escape releases`);
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch") change({ at: patchUnder(event) });
  });
  stage.addEventListener("pointerleave", () => change({ at: null }));
  stage.addEventListener("click", (event) => togglePin(patchUnder(event), event.pointerType === "touch"));
  stage.addEventListener("focus", () => {
    // A click brings its own cell; Tab brings back the cursor, or starts it in the middle.
    if (state.at === null && stage.matches(":focus-visible")) change({ at: lastAt ?? middlePatch() });
  });
  stage.addEventListener("blur", () => change({ at: null }));
  stage.addEventListener("keydown", (event) => {
    const from = state.at !== null && state.at >= prefix ? state.at : lastAt ?? middlePatch();
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      togglePin(from);
      return;
    }
    const cell = stepped(from - prefix, event.key, ...grid);
    if (cell === null) return;
    event.preventDefault();
    change({ at: cell + prefix });
    say();
  });
}

const middlePatch = () => prefix + Math.floor(grid[0] / 2) * grid[1] + Math.floor(grid[1] / 2);

function patchUnder(event) {
  const box = el("stage").getBoundingClientRect();
  const inside = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  const row = inside((event.clientY - box.top) / box.height, grid[0]);
  const col = inside((event.clientX - box.left) / box.width, grid[1]);
  return prefix + row * grid[1] + col;
}

/** Where a key leads from `cell` of a rows x cols grid, or null for a key that leads nowhere. */
function stepped(cell, key, rows, cols) {
  const row = Math.floor(cell / cols);
  const col = cell % cols;
  const to = {
    ArrowLeft: [row, col - 1],
    ArrowRight: [row, col + 1],
    ArrowUp: [row - 1, col],
    ArrowDown: [row + 1, col],
    Home: [row, 0],
    End: [row, cols - 1],
  }[key];
  if (!to) return null;
  const clamp = (place, count) => Math.max(0, Math.min(count - 1, place));
  return clamp(to[0], rows) * cols + clamp(to[1], cols);
}

/** The same for words, whose lines are wherever the text wrapped. */
function steppedToken(token, key) {
  if (key === "ArrowUp" || key === "ArrowDown") {
    const boxes = parts.stage.chips.map((chip) => chip.getBoundingClientRect());
    const from = boxes[token];
    const away = (box) => (key === "ArrowDown" ? box.top - from.bottom : from.top - box.bottom);
    const apart = (box) => 8 * away(box) + Math.abs(box.left + box.right - from.left - from.right);
    return boxes.reduce((best, box, each) =>
      (away(box) >= 0 && (best === token || apart(box) < apart(boxes[best])) ? each : best), token);
  }
  return stepped(token, key, 1, tokens);
}

/** The chooser of whose attention: the rollout above, then a line of heads per layer. */
function buildHeads() {
  const host = el("heads");
  host.style.setProperty("--heads", heads + 1);
  const choice = (source, label, className) => {
    const button = make("button", className);
    button.type = "button";
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", label);
    button.addEventListener("click", () => change({ source }));
    parts.thumbs.push({ button, source });
    return button;
  };
  const whole = choice(ROLLOUT, "Rollout: all layers", "whole");
  whole.append(make("b", "", "Rollout"), make("small", "", "all layers multiplied"));
  host.append(whole, make("i"));
  for (let head = 0; head < heads; head++) host.append(make("i", "", `${head}`));
  parts.fusedTitle = make("i", "together", state.fusion);
  host.append(parts.fusedTitle);
  for (let layer = 0; layer < layers; layer++) {
    host.append(make("i", "", `${layer}`));
    for (const head of [...Array(heads).keys(), FUSED]) {
      const label = `Layer ${layer}, ${head === FUSED ? "heads together" : `head ${head}`}`;
      const button = choice({ layer, head }, label, "thumb");
      button.dataset.layer = layer;
      button.dataset.head = head;
      const { canvas, paint } = heatCanvas(...(grid ?? [1, tokens]), colours, facts.flat);
      if (grid) button.style.aspectRatio = parts.aspect;
      button.append(canvas);
      parts.thumbs.at(-1).paint = paint;
      host.append(button);
    }
  }
  host.addEventListener("keydown", (event) => {
    const index = parts.thumbs.findIndex(({ button }) => button === event.target);
    const next = steppedHead(index, event.key);
    if (next === null) return;
    event.preventDefault();
    parts.thumbs[next].button.focus();
    change({ source: parts.thumbs[next].source });
  });
}

/** The rollout is number 0 and spans the line above the first layer. */
function steppedHead(index, key) {
  const cols = heads + 1;
  if (index === 0) return key === "ArrowDown" ? 1 : null;
  if (key === "ArrowUp" && index <= cols) return 0;
  const cell = stepped(index - 1, key, layers, cols);
  return cell === null ? null : cell + 1;
}

/** Into which parts the attention of a query is divided, and each token's part. */
function gaugeParts() {
  const names = [];
  const partOf = new Int32Array(tokens);
  const put = (token, name) => {
    if (!names.includes(name)) names.push(name);
    partOf[token] = names.indexOf(name);
  };
  const few = prefix <= 6; // more parts than that have no colour of their own
  const rest = outliers.size ? "other patches" : "patches";
  for (let token = 0; token < tokens; token++) {
    const patch = token - prefix;
    if (text) put(token, special[token] ? "special tokens" : sideOf(token));
    else if (patch >= 0) put(token, outliers.has(patch) ? "outlier patches" : rest);
    else if (few || token === 0) put(token, `${token} ${facts.prefixNames[token]}`);
    else put(token, "other prefix tokens");
  }
  return { names, partOf };
}

/** The part of a word: of two texts its own. */
const sideOf = (token) => (facts.target === null ? "words" : token < facts.target ? "source words" : "target words");

function buildGauge() {
  const { names, partOf } = gaugeParts();
  // Patches come last whatever comes first in the picture, and so do words.
  const last = (name) => /^(patches|other patches|words|source words)$/.test(name);
  const order = names.map((_, part) => part).sort((a, b) => last(names[a]) - last(names[b]));
  parts.partOf = partOf;
  order.forEach((part, place) => {
    const paint = last(names[part]) ? "var(--rest)" : `var(--part-${place})`;
    const block = make("i");
    block.style.backgroundColor = paint;
    el("stack").append(block);
    const line = make("li");
    const swatch = make("i", "swatch");
    swatch.style.backgroundColor = paint;
    const name = names[part].replace(/^\d+ (?=.)/, "");
    const value = make("b");
    line.dataset.part = name;
    line.append(swatch, make("span", "", name), value);
    el("parts").append(line);
    parts.gauge.push({ part, block, line, value });
  });
}

function buildClasses() {
  el("classes").hidden = facts.classes.length === 0;
  el("classes-title").textContent = facts.nextWord ? "Next token" : "Class";
  el("alone-term").textContent = facts.nextWord ? "The model says next" : "Read alone, it is";
  const alone = facts.nextWord ? `after the ${kind} pointed at` : `the ${kind} pointed at, read alone by the head`;
  el("classes-note").textContent = facts.lens ? `Bars: the model’s probability. Right: ${alone}.` : "";
  parts.classes = facts.classes.map(([label, probability], index) => {
    const row = make("label", "class");
    const radio = make("input");
    radio.type = "radio";
    radio.name = "class";
    radio.checked = index === 0;
    radio.addEventListener("change", () => change({ chosen: index }));
    const bar = make("span", "bar");
    const fill = make("i");
    fill.style.width = `${100 * Math.max(0, Math.min(1, probability))}%`;
    bar.append(fill);
    const alone = make("small", "alone");
    row.append(radio, make("span", "label", label), make("small", "", percent(probability)), alone, bar);
    el("class-list").append(row);
    return { radio, alone };
  });
}

function buildControls() {
  for (const fusion of Object.keys(FUSIONS)) {
    const radio = make("input");
    radio.type = "radio";
    radio.name = "fusion";
    radio.value = fusion;
    radio.addEventListener("change", () => change({ fusion }));
    const choice = make("label");
    choice.append(radio, make("span", "", fusion));
    el("fusion").append(choice);
  }
  el("discard").addEventListener("input", () => change({ discard: el("discard").valueAsNumber }));
  el("reset").addEventListener("click", () => {
    lastAt = null;
    change(fresh());
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") change({ pinned: null });
  });
}
