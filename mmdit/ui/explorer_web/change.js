// ---- changing the view

function change(what) {
  Object.assign(view, what);
  redraw();
}

function setLayer(layer) {
  change({layer: clamp(layer, MEAN, header.layers.length - 1)});
  showCurrentThumbnail();
}

function setStep(step) {
  if (header.steps.length > 1) change({step: clamp(step, MEAN, header.steps.length - 1)});
}

function setWord(word) {
  if (word < header.words.length) change({word});
}

function nextDirection() {
  const at = header.directions.indexOf(view.direction);
  change({direction: header.directions[(at + 1) % header.directions.length]});
}

function pick(patch) {
  const same = view.picked && ['stream', 'row', 'column'].every(key => view.picked[key] === patch?.[key]);
  change({picked: same ? null : patch});
}

function movePatch(down, right) {
  const from = view.picked ?? {stream: 'target', row: -down, column: -right};
  const grid = header.streams.find(of => of.name === from.stream);
  const row = clamp(from.row + down, 0, grid.rows - 1), column = clamp(from.column + right, 0, grid.columns - 1);
  change({picked: {...from, row, column}, hovered: null});
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function patchUnder(event, frame, grid) {
  const box = frame.getBoundingClientRect();
  const row = clamp(Math.floor((event.clientY - box.top) / box.height * grid.rows), 0, grid.rows - 1);
  const column = clamp(Math.floor((event.clientX - box.left) / box.width * grid.columns), 0, grid.columns - 1);
  return {stream: grid.name, row, column};
}

function nearestMarked(patch) {
  if (!view.copied || patch.stream !== 'target') return patch;
  const distance = ([row, column]) => (row - patch.row) ** 2 + (column - patch.column) ** 2;
  const [row, column] = header.patches.reduce((a, b) => distance(b) < distance(a) ? b : a);
  return {stream: 'target', row, column};
}

// ---- playing through the steps

async function play() {
  const entry = header.entry;
  const token = playing = {};
  press('.play', () => true);
  find('.play').textContent = say('Pause');
  for (let step = 0; step < header.steps.length && playing === token; step++) {
    tell(say('Fetching maps: step {step} of {steps}…', {step: step + 1, steps: header.steps.length}));
    try {
      await Promise.all(header.streams.map(({name}) => fetchBlock({...wanted(name), step: playedStep(name, step)})));
    } catch (error) {
      stop();
      return tell(error.message, true);
    }
  }
  if (playing !== token || header.entry !== entry) return;
  tell('');
  advance(token);
}

function playedStep(stream, step) {
  return wanted(stream).direction === COPIED ? MEAN : step;
}

function advance(token) {
  if (playing !== token) return;
  setStep((view.step + 1) % header.steps.length);
  setTimeout(() => advance(token), PLAY_MS);
}

function stop() {
  playing = null;
  press('.play', () => false);
  find('.play').textContent = say('Play');
}

function togglePlay() {
  if (playing) { stop(); tell(''); }
  else if (header.steps.length > 1) play();
}
