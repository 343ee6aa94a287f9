/* The colours: tables, heat as tiny canvases that CSS enlarges, chips with readable ink.

   A map is a list of P values, one per patch or token. Every map runs from its own smallest value (dark) to
   its own largest (bright). */

/** 256 colours from one string of hex digits: as RGBA words for ImageData, as CSS, and the ink for each. */
function readColours(hex) {
  const words = new Uint32Array(256);
  const css = [];
  const ink = [];
  const bytes = new Uint8Array(words.buffer);
  for (let entry = 0; entry < 256; entry++) {
    const rgb = [0, 2, 4].map((digit) => parseInt(hex.slice(6 * entry + digit, 6 * entry + digit + 2), 16));
    bytes.set([...rgb, 255], 4 * entry);
    css.push(`rgb(${rgb.join(" ")})`);
    const [red, green, blue] = rgb.map((byte) => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    // Above this luminance black has the higher WCAG contrast, below it white.
    ink.push(0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff");
  }
  return { words, css, ink };
}

const SHARE = 0.98; // of the values that a cut range ends at
const FAR = 2; // times that range from which the largest value cuts it

/** The value below which a share of sorted values lies, between two of them in proportion. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** The range of the colours of `values` at the places that count; the rule is that of scale.py.

    It ends at a percentile where few values are far beyond, so that no single patch makes a map black. Values
    are even where they differ by less than `resolution` of the largest: stretched over all colours, the
    error of rounding would look like a finding. (Where a head reads the mean, all tokens attend alike to it.) */
function span(values, counted, resolution = 0) {
  const sorted = new Float64Array(counted.length);
  for (let each = 0; each < counted.length; each++) sorted[each] = values[counted[each]];
  sorted.sort();
  const least = sorted[0];
  const most = sorted[sorted.length - 1];
  const top = quantile(sorted, SHARE);
  const high = top > least && most - least > FAR * (top - least) ? top : most;
  const bottom = quantile(sorted, 1 - SHARE);
  const low = bottom < high && high - least > FAR * (high - bottom) ? bottom : least;
  const even = most - least <= resolution * most;
  return { low, high, least, most, even, none: most === 0 && least === 0 };
}

/** The entry of the colour table for `value`; values beyond the span take its ends. */
function entryOf(value, { low, high, even }, flat) {
  if (even) return flat;
  return Math.max(0, Math.min(255, Math.round((255 * (value - low)) / (high - low))));
}

/** An element with a class, and text that is never read as markup. */
function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** A canvas of rows x cols pixels, one per cell, and the function that colours it; cells apart stay clear. */
function heatCanvas(rows, cols, colours, flat, apart = []) {
  const canvas = make("canvas", "heat");
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(cols, rows);
  const words = new Uint32Array(image.data.buffer);
  const paint = (values, range) => {
    for (let cell = 0; cell < words.length; cell++) {
      words[cell] = range.none || apart[cell] ? 0 : colours.words[entryOf(values[cell], range, flat)];
    }
    context.putImageData(image, 0, 0);
  };
  return { canvas, paint };
}

/** The picture as muted grey: enough to recognise, too little to glare through the heat. */
function mutedCanvas(picture, [black, contrast]) {
  const canvas = make("canvas", "under");
  canvas.width = picture.naturalWidth;
  canvas.height = picture.naturalHeight;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < image.data.length; at += 4) {
    const [red, green, blue] = image.data.subarray(at, at + 3);
    image.data.fill(black + contrast * (0.299 * red + 0.587 * green + 0.114 * blue), at, at + 3);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A frame around one cell of a map. */
function cellMark(className, [rows, cols]) {
  const mark = make("i", className);
  const place = (cell) => {
    mark.hidden = cell === null || cell < 0;
    if (mark.hidden) return;
    mark.style.left = `${(100 * (cell % cols)) / cols}%`;
    mark.style.top = `${(100 * Math.floor(cell / cols)) / rows}%`;
    mark.style.width = `${100 / cols}%`;
    mark.style.height = `${100 / rows}%`;
  };
  place(null);
  return { mark, place };
}

/** Heat over the grey picture, of at most `most` pixels a side. `place(query, at)` frames two cells, or none. */
function pictureMap(host, { grid, muted, crisp, aspect, colours, flat, apart }, most = Infinity) {
  const { canvas, paint } = heatCanvas(...grid, colours, flat, apart);
  host.classList.add("picture");
  host.style.aspectRatio = aspect;
  if (muted) {
    const under = make("canvas", crisp ? "under crisp" : "under");
    const share = Math.min(1, most / Math.max(muted.width, muted.height));
    under.width = Math.round(share * muted.width);
    under.height = Math.round(share * muted.height);
    under.getContext("2d").drawImage(muted, 0, 0, under.width, under.height);
    host.append(under);
  }
  const query = cellMark("mark query", grid);
  const at = cellMark("mark at", grid);
  host.append(canvas, query.mark, at.mark);
  return {
    paint,
    fade: (opacity) => {
      if (muted) canvas.style.opacity = opacity;
    },
    place: (queryCell, atCell) => {
      query.place(queryCell);
      at.place(atCell === queryCell ? null : atCell);
    },
  };
}

/** Colour one chip: the heat as its background, black or white as its ink; no value, no colour. */
function paintChip(chip, value, range, { colours, flat }) {
  const entry = value === undefined ? null : entryOf(value, range, flat);
  if (chip.entry === entry) return; // a style that stays is a style that need not be computed again
  chip.entry = entry;
  chip.style.backgroundColor = entry === null ? "" : colours.css[entry];
  chip.style.color = entry === null ? "" : colours.ink[entry];
}

/** The words of a text, each a chip; `tag` is `button` where they can be pointed at. */
function textMap(host, { words, special, apart, written, target, colours, flat }, tag = "span") {
  host.classList.add("tokens");
  const names = (token) => `token${special[token] ? " special" : ""}${written[token] ? " written" : ""}`;
  const chips = words.map((word, token) => make(tag, names(token), word));
  host.append(...chips);
  if (target !== null) { // two texts, each on lines of its own
    host.prepend(make("i", "side", "Source"));
    chips[target].before(make("i", "side", "Target"));
  }
  return {
    chips,
    fade: () => {},
    paint: (values, range, write) => {
      chips.forEach((chip, token) => {
        const clear = apart[token] || range.none;
        paintChip(chip, clear ? undefined : values[token], range, { colours, flat });
        if (apart[token]) chip.dataset.share = write(values[token]);
      });
    },
    place: (query, at) => {
      chips.forEach((chip, token) => {
        chip.classList.toggle("query", token === query);
        chip.classList.toggle("at", token === at && at !== query);
      });
    },
  };
}
