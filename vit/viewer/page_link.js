/* The state as the end of the page's address, so that a link opens what somebody saw. */

const writeSource = (source) => keyOf(source);

function readSource(text) {
  if (text === ROLLOUT) return ROLLOUT;
  const [, layer, head] = /^(\d+)\.(\d+|fused)$/.exec(text ?? "") ?? [];
  const found = parts.thumbs.find(({ source }) => source !== ROLLOUT
    && source.layer === Number(layer) && String(source.head) === head);
  return found?.source;
}

const readCount = (text, end) => (/^\d+$/.test(text ?? "") && Number(text) < end ? Number(text) : undefined);
const readShare = (text, most) =>
  (/^[01]?(\.\d+)?$/.test(text) && text && Number(text) <= most ? Number(text) : undefined);
const readMap = (text) => maps.find(({ id }) => id === text)?.id;

/** What of the state a link holds: how it is written, and how it is read; undefined is not to be read. */
const LINKED = {
  source: [writeSource, readSource],
  fusion: [String, (text) => (Object.hasOwn(FUSIONS, text) ? text : undefined)],
  discard: [String, (text) => readShare(text, 0.95)],
  pinned: [(token) => String(token ?? "none"), (text) => (text === "none" ? null : readCount(text, tokens))],
  chosen: [String, (text) => readCount(text, facts.classes.length)],
  shown: [String, readMap],
  view: [String, (text) => viewNames().find((name) => name === text)],
  opacity: [String, (text) => readShare(text, 1)],
  bare: [String, (text) => (text === "true" ? true : undefined)],
  second: [
    (second) => (second ? `${writeSource(second.source)} ${second.shown}` : "none"),
    (text) => {
      if (text === "none") return null;
      const [, source, shown] = /^(\S+) (.+)$/.exec(text) ?? [];
      return readSource(source) && readMap(shown) ? { source: readSource(source), shown } : undefined;
    },
  ],
};

/** The state that the address asks for; what it says wrongly is left as it is. */
function linkedState() {
  const start = fresh();
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    const value = Object.hasOwn(LINKED, name) ? LINKED[name][1](text) : undefined;
    if (value !== undefined) start[name] = value;
  }
  return start;
}

/** What differs from the state at the start, for the address. */
function link() {
  const start = fresh();
  const differing = Object.entries(LINKED).filter(([name, [write]]) => write(state[name]) !== write(start[name]));
  return new URLSearchParams(differing.map(([name, [write]]) => [name, write(state[name])])).toString();
}

let waiting;

/** Bring the address up to date, once nothing has changed for a moment. */
function keepLink() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    if (location.hash.slice(1) === link()) return;
    try {
      history.replaceState(null, "", `#${link()}`);
    } catch {
      // A frame without an address of its own has no link.
    }
  }, 150);
}
