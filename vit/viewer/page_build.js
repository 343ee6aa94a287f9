/* Building the page, once: every element that holds facts, and what happens when it is used.

   Names, labels and tokens come from outside: they reach the page as `textContent`, never as markup. */

const SMALL = 400; // pixels of a side of the small maps
const parts = { panels: new Map(), thumbs: [], chips: [], gauge: [] };

function faceOptions(muted) {
  const enlarged = muted ? 384 / Math.max(muted.width, muted.height) : 1;
  return {
    grid,
    muted,
    colours,
    flat: facts.flat,
    words: facts.words,
    special,
    apart,
    written: facts.written,
    target: facts.target,
    crisp: enlarged >= facts.crispFrom, // few pixels stay square pixels
    ratio: muted ? muted.width / muted.height : grid ? grid[1] / grid[0] : 1,
    aspect: muted ? `${muted.width} / ${muted.height}` : grid && `${grid[1]} / ${grid[0]}`,
  };
}

/** The small maps: of a picture the picture itself, of a text a strip of one cell per word. */
function buildMaps(options) {
  const strip = { grid: [1, tokens], colours, flat: facts.flat, apart };
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
    panel.addEventListener("click", () => change({ shown: map.id, view: "map", bare: false }));
    (isLive(map) ? el("around") : el("strip")).append(panel);
    parts.panels.set(map.id, { panel, range, ...pictureMap(face, text ? strip : options, SMALL) });
  }
  const others = maps.filter((map) => !isLive(map)).length;
  el("methods").hidden = others === 0;
  el("strip").style.setProperty("--columns", Math.max(2, Math.min(4, others)));
}

/** The map kept beside the main one. */
function buildSecond(options) {
  const host = el("second-stage");
  parts.second = text ? textMap(host, options) : pictureMap(host, options);
  el("keep").addEventListener("click", () => {
    const kept = { shown: state.shown, source: state.source };
    change({ second: state.second ? null : kept, view: "map" });
  });
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
  const whole = picture.cloneNode();
  el("stage").querySelector("canvas.heat").after(whole);
  parts.original.whole = whole;
  el("plain").addEventListener("click", () => change({ bare: true, view: "map" }));
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

