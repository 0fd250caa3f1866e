// ---- painting

function colourTable(name) {
  if (!tables.has(name)) {
    const bytes = Uint8Array.from(atob(header.colours[name]), letter => letter.charCodeAt(0));
    const pixels = new Uint8ClampedArray(1024).fill(255);
    for (let i = 0; i < 256; i++) pixels.set(bytes.subarray(3 * i, 3 * i + 3), 4 * i);
    tables.set(name, new Uint32Array(pixels.buffer));
  }
  return tables.get(name);
}

// For each pixel of a side: the patches before and after it, and how far it is on the way between them.
function interpolation(patches, factor) {
  const key = `${patches}×${factor}`;
  if (!interpolations.has(key)) {
    const count = patches * factor;
    const found = {before: new Int32Array(count), after: new Int32Array(count), share: new Float32Array(count)};
    for (let pixel = 0; pixel < count; pixel++) {
      const at = Math.min(Math.max((pixel + 0.5) / factor - 0.5, 0), patches - 1);
      found.before[pixel] = Math.floor(at);
      found.after[pixel] = Math.min(found.before[pixel] + 1, patches - 1);
      found.share[pixel] = at - found.before[pixel];
    }
    interpolations.set(key, found);
  }
  return interpolations.get(key);
}

// An odd number of pixels a patch: the middle one shows the patch's own value.
function pixelsAPatch(grid) {
  return 2 * Math.max(1, Math.round(HEAT_SIDE / Math.max(grid.rows, grid.columns) / 2 - 0.5)) + 1;
}

// Values, not colours, are interpolated, so that every colour is one of the colour map's.
function paintHeat(canvas, map, grid, top, colours) {
  const factor = pixelsAPatch(grid);
  const across = interpolation(grid.columns, factor), down = interpolation(grid.rows, factor);
  const width = across.share.length, height = down.share.length;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const line = new Float32Array(grid.columns);
  const toShade = top > 0 ? 255 / top : 0;
  for (let y = 0, pixel = 0; y < height; y++) {
    const above = down.before[y] * grid.columns, below = down.after[y] * grid.columns, share = down.share[y];
    for (let c = 0; c < grid.columns; c++) line[c] = (map[above + c] * (1 - share) + map[below + c] * share) * toShade;
    for (let x = 0; x < width; x++) {
      const left = line[across.before[x]];
      const shade = left + (line[across.after[x]] - left) * across.share[x] + 0.5;
      pixels[pixel++] = colours[shade > 255 ? 255 : shade | 0];
    }
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

function paintThumbnail(canvas, block, layer, item, top, colours) {
  if (canvas.width !== block.columns || canvas.height !== block.rows) {
    Object.assign(canvas, {width: block.columns, height: block.rows});
  }
  const image = new ImageData(block.columns, block.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const start = (layer * block.items + item) * block.size;
  const toShade = top > 0 ? block.scales[layer][item] / top : 0;
  for (let i = 0; i < block.size; i++) pixels[i] = colours[Math.min(255, Math.round(block.bytes[start + i] * toShade))];
  canvas.getContext('2d').putImageData(image, 0, 0);
}

function paintScale(canvas, colours) {
  Object.assign(canvas, {width: 1, height: 256});
  const image = new ImageData(1, 256);
  new Uint32Array(image.data.buffer).set(Uint32Array.from(colours).reverse());
  canvas.getContext('2d').putImageData(image, 0, 0);
}

// ---- texts

function percent(share) {
  const value = 100 * share;
  if (value <= 0) return '0 %';
  if (value < 0.001) return '< 0.001 %';
  return `${value >= 10 ? value.toFixed(0) : Number(value.toPrecision(2))} %`;
}

function layerName(stream) {
  if (view.layer !== MEAN) return header.layers[view.layer].label;
  const {best, measured} = ranking(stream);
  if (best.length === 1 && measured) return say('best by measurement: {layer}', {layer: header.layers[best[0]].label});
  if (best.length === 1) return say('best: {layer}', {layer: header.layers[best[0]].label});
  return say('best {count}, averaged', {count: best.length});
}

function shownLayer(stream) {
  const layers = shownLayers(stream);
  return layers.length === 1 ? header.layers[layers[0]].label : layerName(stream);
}

function stepName(step) {
  const {steps} = header;
  if (steps.length === 1) return '';
  if (step === MEAN) return say('all {count}, averaged', {count: steps.length});
  return `${say('{step} of {steps}', {step: step + 1, steps: steps.length})} · t = ${steps[step].toFixed(2)}`;
}

function gridOf(stream) {
  return header.streams.find(of => of.name === stream);
}

function direction() {
  const text = DIRECTIONS[view.direction];
  return text[0].toLowerCase() + text.slice(1);
}

function figureCaption({direction, stream}) {
  const {label: picture} = gridOf(stream), {row, column} = view.picked ?? {};
  const what = direction === COPIED
    ? say('{picture}: where patch {row}, {column} looks', {picture, row: row + 1, column: column + 1}) : picture;
  return `${what} · ${shownLayer(stream)}`;
}

function rankingCaption(subject) {
  const picture = gridOf(subject.stream).within;
  const reads = view.direction === 'image_to_text';
  if (subject.row === undefined) {
    return reads ? say('What all of the {picture} reads, on average', {picture})
      : say('How much of each word’s look is at the {picture}', {picture});
  }
  const where = {row: subject.row + 1, column: subject.column + 1, picture};
  return reads ? say('What patch {row}, {column} of the {picture} reads', where)
    : say('How much each word looks at patch {row}, {column} of the {picture}', where);
}

function mapDescription(want, map, top) {
  const {columns, within: picture} = gridOf(want.stream);
  const at = largest(map);
  const row = Math.floor(at / columns) + 1, column = at % columns + 1;
  const place = say('largest {share} in row {row}, column {column}', {share: percent(map[at]), row, column});
  const scale = say('colours from 0 to {top}', {top: percent(top)});
  if (want.direction === COPIED) return `${figureCaption(want)}; ${place}; ${scale}`;
  const of = {word: header.words[view.word], picture, layer: layerName(want.stream), direction: direction()};
  return `${say('Map of “{word}” over the {picture}, layer {layer}, {direction}', of)}; ${place}; ${scale}`;
}

function tell(text, error = false) {
  find('.news').textContent = text;
  find('.news').classList.toggle('error', error);
}
