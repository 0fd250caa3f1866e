// ---- drawing what the view says

function redraw() {
  if (!header) return;
  const started = performance.now();
  const missing = header.streams.filter(({name}) => !drawFigure(name)).map(({name}) => wanted(name));
  drawRanking();
  drawControls();
  element.dataset.redrawMs = (performance.now() - started).toFixed(2);
  drawStripSoon();
  explorer.setAttribute('aria-busy', String(missing.length > 0));
  if (missing.length) fetchMissing(missing);
  else if (!playing) tell('');
}

async function fetchMissing(missing) {
  const entry = header.entry;
  const patience = setTimeout(() => tell(say('Fetching maps…')), 300);
  try {
    await Promise.all(missing.map(fetchBlock));
    if (header?.entry === entry) redraw();
  } catch (error) {
    stop();
    explorer.setAttribute('aria-busy', 'false');
    tell(error.message, true);
  } finally {
    clearTimeout(patience);
  }
}

// Returns whether the block is there; while it is not, the picture stays as it was.
function drawFigure(stream) {
  const want = wanted(stream), figure = figures.get(stream), block = blockFor(stream);
  if (!header.rankings[`${want.direction}/${stream}`] && want.direction !== COPIED) {
    figure.canvas.hidden = true;  // not recorded in this direction
    figure.caption.textContent = gridOf(stream).label;
    figure.top.textContent = '';
    return true;
  }
  if (!block) return false;
  const map = meanMap(block, shownLayers(stream), want.item);
  const top = view.shared ? sharedTop(block, want.item) : map[largest(map)];
  const colours = colourTable(view.colours);
  paintHeat(figure.canvas, map, block, top, colours);
  figure.canvas.hidden = false;
  figure.canvas.style.opacity = view.opacity / 100;
  figure.canvas.setAttribute('aria-label', mapDescription(want, map, top));
  figure.caption.textContent = figureCaption(want);
  figure.top.textContent = percent(top);
  if (figure.painted !== view.colours) paintScale(figure.scale, colours);
  figure.painted = view.colours;
  return true;
}

function drawRanking() {
  const subject = view.hovered ?? view.picked ?? {stream: 'target'};
  const block = blocks.get(keyOf({...view, stream: subject.stream}));
  for (const [stream, figure] of figures) {
    outline(figure.hovered, stream, view.hovered);
    outline(figure.picked, stream, view.picked);
  }
  if (!block) return;
  const layers = shownLayers(subject.stream);
  const values = subject.row === undefined ? valuesOverall(block, layers) : valuesAt(block, layers, subject);
  const ranked = values.map((value, word) => ({value, word})).sort((a, b) => b.value - a.value).slice(0, TOP_WORDS);
  const sum = values.reduce((total, value) => total + value, 0);
  const rest = view.direction === 'image_to_text' ? Math.max(0, 1 - sum) : null;
  const longest = ranked[0].value;
  find('.ranking caption').textContent = rankingCaption(subject);
  rows.forEach((row, index) => fillRow(row, ranked[index], longest));
  const last = rows[rows.length - 1];
  last.row.hidden = rest === null;
  if (rest !== null) fillCells(last, say('all else'), rest, longest);
}

function fillRow(row, found, longest) {
  row.row.hidden = !found;
  if (!found) return;
  fillCells(row, header.words[found.word], found.value, longest);
  row.row.classList.toggle('current', found.word === view.word);
}

function fillCells(row, name, value, longest) {
  row.name.textContent = row.name.title = name;
  row.number.textContent = percent(value);
  row.bar.style.width = `${longest > 0 ? Math.min(100, 100 * value / longest) : 0}%`;
}

function outline(box, stream, patch) {
  box.hidden = patch?.stream !== stream;
  if (!box.hidden) place(box, patch, header.streams.find(of => of.name === stream));
}

function place(box, {row, column}, {rows: height, columns: width}) {
  Object.assign(box.style, {left: `${100 * column / width}%`, top: `${100 * row / height}%`,
                            width: `${100 / width}%`, height: `${100 / height}%`});
}

function drawControls() {
  setRange('.layer', view.layer, layerName('target'), '.layer-name');
  setRange('.step', view.step, stepName(view.step), '.step-name');
  setRange('.opacity', view.opacity, `${view.opacity} %`, '.opacity-name');
  press('.words button', button => Number(button.dataset.word) === view.word);
  press('.directions button', button => button.dataset.direction === view.direction);
  press('.strip-streams button', button => button.dataset.stream === view.strip);
  press('.ranked', () => view.ranked);
  thumbnails.forEach((button, layer) => button.setAttribute('aria-pressed', String(layer === view.layer)));
}

function setRange(selector, value, text, output) {
  const range = find(selector);
  range.value = value;
  range.setAttribute('aria-valuetext', text);
  find(output).textContent = text;
}

function press(selector, isPressed) {
  for (const button of element.querySelectorAll(selector)) {
    button.setAttribute('aria-pressed', String(isPressed(button)));
  }
}

// ---- the strip of all layers: a few thumbnails a frame, so that it never holds up a slider

function drawStripSoon() {
  const block = blocks.get(keyOf({...view, stream: view.strip}));
  const wish = [keyOf({...view, stream: view.strip}), view.word, view.colours, view.shared, view.ranked].join('|');
  if (!block || wish === drawnStrip) return;
  drawnStrip = wish;
  const order = view.ranked ? ranking(view.strip).order : header.layers.map((_, layer) => layer);
  const pictures = thumbnails.map(button => button.firstChild);
  const item = view.word, colours = colourTable(view.colours), top = view.shared ? sharedTop(block, item) : null;
  arrange(order);
  const next = from => {
    if (wish !== drawnStrip) return;  // overtaken
    for (const layer of order.slice(from, from + THUMBNAILS_A_FRAME)) {
      paintThumbnail(pictures[layer], block, layer, item, top ?? block.scales[layer][item], colours);
    }
    if (from + THUMBNAILS_A_FRAME < order.length) requestAnimationFrame(() => next(from + THUMBNAILS_A_FRAME));
    else element.dataset.strip = wish;
  };
  requestAnimationFrame(() => next(0));
}

function arrange(order) {
  const strip = find('.layers'), found = ranking(view.strip);
  const shown = [...strip.children].map(button => Number(button.dataset.layer));
  if (order.some((layer, index) => layer !== shown[index])) strip.append(...order.map(layer => thumbnails[layer]));
  const grid = header.streams.find(of => of.name === view.strip);
  strip.style.setProperty('--shape', figures.get(view.strip)?.shape ?? grid.columns / grid.rows);
  thumbnails.forEach((button, layer) => {
    const rank = found.order.indexOf(layer), entropy = found.entropies[rank];
    button.classList.toggle('best', found.best.includes(layer));
    button.title = say('{layer}: rank {rank} of {layers}, entropy {entropy}', {
      layer: header.layers[layer].name, rank: rank + 1, layers: thumbnails.length, entropy,
    });
  });
}

function showCurrentThumbnail() {
  const button = thumbnails[view.layer], margin = 4;  // of the layer now: the frame may come after another change
  if (!button) return;
  requestAnimationFrame(() => {
    const strip = find('.layers');
    const {offsetLeft: left, offsetTop: top, offsetWidth: width, offsetHeight: height} = button;
    strip.scrollLeft = clamp(strip.scrollLeft, left + width + margin - strip.clientWidth, left - margin);
    strip.scrollTop = clamp(strip.scrollTop, top + height + margin - strip.clientHeight, top - margin);
  });
}
