/* Building the controls, once: whose attention, where it goes, the classes, and the rest. */

/** The chooser of whose attention: the rollout above, then a line of heads per layer. */
function buildHeads() {
  const host = el("heads");
  const columns = facts.fixed ? [FUSED] : [...Array(heads).keys(), FUSED];
  document.body.style.setProperty("--heads", columns.length);
  document.body.style.setProperty("--layers", layers);
  document.body.style.setProperty("--aspect", parts.ratio);
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
  for (const head of columns.slice(0, -1)) host.append(make("i", "", `${head}`));
  parts.fusedTitle = make("i", "together", state.fusion);
  host.append(parts.fusedTitle);
  for (let layer = 0; layer < layers; layer++) {
    host.append(make("i", "", `${numberOf(layer)}`));
    for (const head of columns) {
      const label = `Layer ${numberOf(layer)}, ${head === FUSED ? "heads together" : `head ${head}`}`;
      const button = choice({ layer, head }, label, "thumb");
      button.dataset.layer = layer;
      button.dataset.head = head;
      const { canvas, paint } = heatCanvas(...(grid ?? [1, tokens]), colours, facts.flat, apart);
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
  const cols = facts.fixed ? 1 : heads + 1;
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
  if (!text && !facts.classes.length) el("middle").append(el("gauge")); // which has room then
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

/** A choice of one of few, as radio buttons in a row. */
function buildSegments(host, names, choose) {
  for (const name of names) {
    const radio = make("input");
    radio.type = "radio";
    radio.name = host.id;
    radio.value = name;
    radio.addEventListener("change", () => choose(name));
    const choice = make("label");
    choice.append(radio, make("span", "", name));
    host.append(choice);
  }
}

const viewNames = () => (text ? ["map", "lines", "matrix"] : ["map", "matrix"]);

function buildControls() {
  buildSegments(el("views"), viewNames(), (view) => change({ view }));
  buildSegments(el("fusion"), Object.keys(FUSIONS), (fusion) => change({ fusion }));
  el("controls").hidden = facts.fixed;
  el("discard").addEventListener("input", () => change({ discard: el("discard").valueAsNumber }));
  el("opacity").addEventListener("input", () => change({ opacity: el("opacity").valueAsNumber }));
  el("png").addEventListener("click", () => save("png"));
  el("svg").addEventListener("click", () => save("svg"));
  el("reset").addEventListener("click", () => {
    lastAt = null;
    change(fresh());
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") change({ pinned: null });
  });
  window.addEventListener("hashchange", () => change(linkedState()));
}
