/* The numbers: decoding, fusing heads, discarding, rolling out. Pure functions; none of them knows the page.

   L layers, H heads, N tokens of which the first `prefix` are no patches. A matrix is a Float32Array of N * N,
   rows query and columns key; a vector is a Float64Array of N; sums are taken in doubles. */

/** Base64 of deflated bytes -> the bytes. */
async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/** The block that `quantise.py` packed: scales (L, H, N) as float32, then levels (L, H, N, N) as bytes. */
function unpack(block, layers, heads, tokens) {
  const rows = layers * heads * tokens;
  const expected = 4 * rows + rows * tokens;
  if (block.byteLength !== expected) {
    throw new Error(`the weights have ${block.byteLength} bytes, expected ${expected}`);
  }
  const view = new DataView(block);
  const scale = Float32Array.from({ length: rows }, (_, row) => view.getFloat32(4 * row, true));
  return { layers, heads, tokens, scale, level: new Uint8Array(block, 4 * rows) };
}

// A weight is the scale of its row times the square of its level: small weights keep their digits.

/** vector^T W for one head: what the weighted queries attend to. */
function headRow({ heads, tokens, scale, level }, layer, head, vector) {
  const first = (layer * heads + head) * tokens;
  const out = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    if (vector[query] === 0) continue; // most queries are one token
    const factor = vector[query] * scale[first + query];
    const start = (first + query) * tokens;
    for (let key = 0; key < tokens; key++) out[key] += factor * level[start + key] ** 2;
  }
  return out;
}

/** W vector for one head: how much each query attends to the weighted keys. */
function headColumn({ heads, tokens, scale, level }, layer, head, vector) {
  const first = (layer * heads + head) * tokens;
  const out = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    const start = (first + query) * tokens;
    let sum = 0;
    for (let key = 0; key < tokens; key++) sum += level[start + key] ** 2 * vector[key];
    out[query] = scale[first + query] * sum;
  }
  return out;
}

/** The head fusions, by name: from the entries of all heads (a Float64Array) to the entry of the result.

    The page offers these, and view.py reads the names from this table: one line each. */
const FUSIONS = {
  mean: (entries) => entries.reduce((sum, entry) => sum + entry) / entries.length,
  max: (entries) => Math.max(...entries),
  min: (entries) => Math.min(...entries),
};

/** The heads of one layer as one matrix, entry by entry. */
function fuse({ heads, tokens, scale, level }, layer, fusion) {
  if (!Object.hasOwn(FUSIONS, fusion)) {
    throw new Error(`the head fusion is ${fusion}, expected one of: ${Object.keys(FUSIONS).join(", ")}`);
  }
  const combine = FUSIONS[fusion];
  const fused = new Float32Array(tokens * tokens);
  const entries = new Float64Array(heads);
  for (let query = 0; query < tokens; query++) {
    for (let key = 0; key < tokens; key++) {
      for (let head = 0; head < heads; head++) {
        const row = (layer * heads + head) * tokens + query;
        entries[head] = scale[row] * level[row * tokens + key] ** 2;
      }
      fused[query * tokens + key] = combine(entries);
    }
  }
  return fused;
}

/** How many entries `share` discards: of those between two patches, as the prefix keeps its own. */
function discardCount(tokens, prefix, share) {
  return Math.floor(share * (tokens - prefix) ** 2 + 1e-9); // 0.15 * 400 must not be 59
}

/** A copy of `matrix` in which the smallest `share` of the entries between patches is 0. */
function discard(matrix, tokens, prefix, share) {
  const kept = matrix.slice();
  const count = discardCount(tokens, prefix, share);
  if (count === 0) return kept;
  const patches = tokens - prefix;
  const sorted = new Float32Array(patches * patches);
  for (let row = 0; row < patches; row++) {
    const start = (row + prefix) * tokens + prefix;
    sorted.set(matrix.subarray(start, start + patches), row * patches);
  }
  sorted.sort();
  const limit = sorted[count - 1];
  let ties = count - sorted.indexOf(limit); // of the entries that equal the limit, only so many go
  for (let query = prefix; query < tokens; query++) {
    for (let key = prefix; key < tokens; key++) {
      const at = query * tokens + key;
      if (matrix[at] < limit || (matrix[at] === limit && ties-- > 0)) kept[at] = 0;
    }
  }
  return kept;
}

/** (W + I) / 2 with rows divided by their sum, in place: attention mixed with the residual connection. */
function withResidual(matrix, tokens) {
  for (let query = 0; query < tokens; query++) {
    const start = query * tokens;
    let sum = 1;
    for (let key = 0; key < tokens; key++) sum += matrix[start + key];
    for (let key = 0; key < tokens; key++) {
      matrix[start + key] = (matrix[start + key] + (key === query ? 1 : 0)) / sum;
    }
  }
  return matrix;
}

/** vector^T M. */
function timesMatrix(vector, matrix) {
  const tokens = vector.length;
  const out = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    const factor = vector[query];
    if (factor === 0) continue;
    const start = query * tokens;
    for (let key = 0; key < tokens; key++) out[key] += factor * matrix[start + key];
  }
  return out;
}

/** M vector. */
function matrixTimes(matrix, vector) {
  const tokens = vector.length;
  const out = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    const start = query * tokens;
    let sum = 0;
    for (let key = 0; key < tokens; key++) sum += matrix[start + key] * vector[key];
    out[query] = sum;
  }
  return out;
}

/** A row of A_L ... A_1: from the last layer down, vector by matrix, so that N^3 never happens. */
function rolloutRow(mixed, vector) {
  return mixed.reduceRight(timesMatrix, vector);
}

/** A column of A_L ... A_1: from the first layer up. */
function rolloutColumn(mixed, vector) {
  return mixed.reduce((sofar, matrix) => matrixTimes(matrix, sofar), vector);
}

/** `make(key)`, remembered for the last `room` keys. */
function remember(room, make) {
  const kept = new Map();
  return (key) => {
    if (!kept.has(key)) {
      if (kept.size >= room) kept.delete(kept.keys().next().value);
      kept.set(key, make(key));
    }
    return kept.get(key);
  };
}

/** The matrix whose rows are the rows of a function, such as a rollout's. */
function matrixOf(row, tokens) {
  const matrix = new Float32Array(tokens * tokens);
  const vector = new Float64Array(tokens);
  for (let query = 0; query < tokens; query++) {
    vector[query] = 1;
    matrix.set(row(vector), query * tokens);
    vector[query] = 0;
  }
  return matrix;
}

/** Percentages with one decimal that add up to exactly 100.0: the largest remainders are rounded up. */
function percentages(shares) {
  const tenths = shares.map((share) => Math.floor(share * 1000 + 1e-9));
  const total = shares.reduce((sum, share) => sum + share, 0);
  let missing = Math.round(total * 1000) - tenths.reduce((sum, tenth) => sum + tenth, 0);
  const order = shares.map((_, part) => part);
  order.sort((a, b) => (shares[b] * 1000 - tenths[b]) - (shares[a] * 1000 - tenths[a]));
  for (const part of order) if (missing-- > 0) tenths[part] += 1;
  return tenths.map((tenth) => tenth / 10);
}
