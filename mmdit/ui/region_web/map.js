// ---- a word's map → a mask: smoothed, enlarged, cut at a share of its largest value, grown; in this order

function levelsOfMap({values, rows, columns}, {threshold, smooth, grow}, width, height) {
  const enlarged = enlarge(smoothed(values, rows, columns, smooth), rows, columns, width, height);
  let top = 0;
  for (const value of enlarged) if (value > top) top = value;
  const inside = new Uint8Array(width * height);
  for (let i = 0; i < inside.length; i++) inside[i] = enlarged[i] > 0 && enlarged[i] >= threshold * top ? 255 : 0;
  return grow ? grown(inside, width, height, grow) : inside;
}

// Gaussian; sigma in patches; cut off at four of it, and at the border the outermost patches go on.
function smoothed(values, rows, columns, sigma) {
  const radius = Math.floor(4 * sigma + 0.5);
  if (!radius) return values;
  const weights = Array.from({length: 2 * radius + 1}, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const along = (from, count, lines, step, next) => {
    const to = new Float64Array(from.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < count; i++) {
        let value = 0;
        for (let k = -radius; k <= radius; k++) {
          value += weights[k + radius] * from[line * next + clamp(i + k, 0, count - 1) * step];
        }
        to[line * next + i * step] = value / sum;
      }
    }
    return to;
  };
  return along(along(values, rows, columns, columns, 1), columns, rows, 1, columns);
}

// Bilinear, patch centres where they belong.
function enlarge(values, rows, columns, width, height) {
  const across = between(width, columns), down = between(height, rows);
  const line = new Float64Array(columns + 1), enlarged = new Float32Array(width * height);
  for (let y = 0, pixel = 0; y < height; y++) {
    const above = down.before[y] * columns, below = Math.min(down.before[y] + 1, rows - 1) * columns;
    for (let c = 0; c < columns; c++) line[c] = values[above + c] + (values[below + c] - values[above + c]) * down.share[y];
    line[columns] = line[columns - 1];
    for (let x = 0; x < width; x++) {
      const left = across.before[x];
      enlarged[pixel++] = line[left] + (line[left + 1] - line[left]) * across.share[x];
    }
  }
  return enlarged;
}

// For each pixel of a side: the patch before it, and how far it is on the way to the next.
function between(pixels, patches) {
  const before = new Int32Array(pixels), share = new Float64Array(pixels);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const at = clamp((pixel + 0.5) * patches / pixels - 0.5, 0, patches - 1);
    before[pixel] = Math.floor(at);
    share[pixel] = at - before[pixel];
  }
  return {before, share};
}

// By a disc of |pixels|; what lies beyond the picture's border does not shrink it.
function grown(inside, width, height, pixels) {
  const target = pixels > 0 ? 255 : 0, reach = pixels ** 2;
  const near = squaredDistances(inside, target, width, height);
  for (let i = 0; i < inside.length; i++) inside[i] = near[i] <= reach ? target : 255 - target;
  return inside;
}

// Exact, to the nearest pixel that equals the target (Felzenszwalb & Huttenlocher 2012).
function squaredDistances(inside, target, width, height) {
  const FAR = 1e12;
  const all = new Float64Array(inside.length);
  for (let i = 0; i < all.length; i++) all[i] = inside[i] === target ? 0 : FAR;
  const side = Math.max(width, height);
  const line = new Float64Array(side), places = new Int32Array(side), bounds = new Float64Array(side + 1);
  const pass = (start, step, count) => {
    for (let i = 0; i < count; i++) line[i] = all[start + i * step];
    let last = 0;
    places[0] = 0;
    bounds[0] = -Infinity;
    bounds[1] = Infinity;
    for (let q = 1; q < count; q++) {
      const meet = () => (line[q] + q * q - line[places[last]] - places[last] ** 2) / (2 * (q - places[last]));
      let at = meet();
      while (at <= bounds[last]) {
        last--;
        at = meet();
      }
      places[++last] = q;
      bounds[last] = at;
      bounds[last + 1] = Infinity;
    }
    for (let q = 0, parabola = 0; q < count; q++) {
      while (bounds[parabola + 1] < q) parabola++;
      all[start + q * step] = (q - places[parabola]) ** 2 + line[places[parabola]];
    }
  };
  for (let x = 0; x < width; x++) pass(x, width, height);
  for (let y = 0; y < height; y++) pass(y * width, 1, width);
  return all;
}
