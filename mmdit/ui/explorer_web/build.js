// ---- building the page for a recording

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function button(text, attributes, action) {
  const made = make('button', {type: 'button', 'aria-pressed': 'false', ...attributes}, ...[text].flat());
  made.addEventListener('click', action);
  return made;
}

function buildWords() {
  find('.words').replaceChildren(...header.words.map((word, index) => {
    const [, text, again] = /^(.*?)(?:#(\d+))?$/s.exec(word);
    const parts = [make('span', {}, text || word)];
    if (text && again) parts.push(make('sub', {}, again));
    if (index < 9) parts.unshift(make('i', {'aria-hidden': 'true'}, String(index + 1)));
    return button(parts, {class: 'chip', 'data-word': index, 'aria-label': word}, () => setWord(index));
  }));
}

function buildFigures() {
  figures = new Map(header.streams.map(grid => [grid.name, buildFigure(grid)]));
  find('.figures').replaceChildren(...[...figures.values()].map(figure => figure.whole));
}

function buildFigure(grid) {
  const figure = {
    caption: make('figcaption', {}, grid.label),
    canvas: make('canvas', {role: 'img'}),
    hovered: make('div', {class: 'patch hovered', hidden: ''}),
    picked: make('div', {class: 'patch picked', hidden: ''}),
    scale: make('canvas', {'aria-hidden': 'true'}),
    top: make('span'),
    shape: grid.columns / grid.rows,
  };
  const frame = make('div', {class: 'frame', 'data-stream': grid.name}, figure.canvas);
  shapeFrame(frame, grid.columns, grid.rows);
  if (grid.picture) frame.prepend(figure.image = buildPicture(grid, figure, frame));
  if (grid.name === 'target') frame.append(...buildMarks(grid));
  frame.append(figure.hovered, figure.picked);
  frame.addEventListener('pointermove', event => {
    if (event.pointerType === 'mouse') hover(patchUnder(event, frame, grid));
  });
  frame.addEventListener('pointerleave', () => hover(null));
  frame.addEventListener('click', event => pick(nearestMarked(patchUnder(event, frame, grid))));
  const scale = make('div', {class: 'scale'}, figure.top, figure.scale, make('span', {}, '0 %'));
  figure.whole = make('figure', {class: 'figure'}, figure.caption, frame, scale);
  return figure;
}

function buildPicture(grid, figure, frame) {
  const image = make('img', {src: grid.picture, alt: grid.label});
  image.addEventListener('load', () => {
    figure.shape = image.naturalWidth / image.naturalHeight;
    shapeFrame(frame, image.naturalWidth, image.naturalHeight);
    if (view.strip === grid.name) find('.layers').style.setProperty('--shape', figure.shape);
  });
  return image;
}

function shapeFrame(frame, width, height) {
  frame.style.setProperty('--width', width);
  frame.style.setProperty('--height', height);
}

function buildMarks(grid) {
  if (header.patches.length === grid.rows * grid.columns) return [];  // every patch is
  return header.patches.map(([row, column]) => {
    const mark = make('div', {class: 'patch marked', hidden: ''});
    place(mark, {row, column}, grid);
    return mark;
  });
}

function hover(patch) {
  const {hovered} = view;
  if (hovered?.stream === patch?.stream && hovered?.row === patch?.row && hovered?.column === patch?.column) return;
  view.hovered = patch;
  drawRanking();
}

function buildLayers() {
  drawnStrip = '';
  thumbnails = header.layers.map(({label}, layer) => button(
    [make('canvas', {'aria-hidden': 'true'}), make('span', {}, label)], {'data-layer': layer, 'aria-label': label},
    () => setLayer(view.layer === layer ? MEAN : layer)));
  find('.layers').replaceChildren(...thumbnails);
  find('.layers').classList.toggle('many', header.layers.length > 24);
}

function buildTable() {
  rows = Array.from({length: TOP_WORDS + 1}, () => {
    const parts = {name: make('td'), bar: make('div'), number: make('span')};
    const bar = make('div', {class: 'bar', 'aria-hidden': 'true'}, parts.bar);
    const share = make('div', {class: 'share'}, bar, parts.number);
    parts.row = make('tr', {hidden: ''}, parts.name, make('td', {}, share));
    return parts;
  });
  rows[TOP_WORDS].row.classList.add('rest');
  find('.ranking tbody').replaceChildren(...rows.map(({row}) => row));
}

function buildControls() {
  find('.layer').max = header.layers.length - 1;
  find('.step').max = header.steps.length - 1;
  find('.step-control').hidden = header.steps.length === 1;
  for (const hint of element.querySelectorAll('.step-keys')) hint.hidden = header.steps.length === 1;
  find('.head-control').hidden = header.heads.length === 1;
  const heads = [[say('mean of all'), MEAN], ...header.heads.map((head, index) => [say('head {head}', {head}), index])];
  find('.head').replaceChildren(...heads.map(([text, value]) => make('option', {value}, text)));
  find('.colours').replaceChildren(...Object.keys(header.colours).map(name => make('option', {value: name}, name)));
  find('.colours').value = view.colours;
  find('.copied-control').hidden = !(header.patches.length && header.copied_from.length);
  find('.directions').replaceChildren(...header.directions.map(direction => button(
    DIRECTIONS[direction], {'data-direction': direction}, () => change({direction}))));
  find('.strip-streams').hidden = header.streams.length === 1;
  find('.strip-streams').replaceChildren(...header.streams.map(({name, label}) => button(
    label, {'data-stream': name}, () => change({strip: name}))));
  find('.download').href = header.download;
}

function open(next) {
  stop();
  tell('');
  header = {...next, streams: next.streams.map(inOurLanguage)};
  Object.assign(view, {
    word: lastWord(next.words), layer: MEAN, step: MEAN, head: MEAN, picked: null, hovered: null, copied: false,
    direction: next.directions.includes(view.direction) ? view.direction : next.directions[0],
    strip: next.streams[0].name, colours: view.colours || Object.keys(next.colours)[0],
  });
  find('.copied').checked = false;
  find('.instruction').textContent = next.instruction && `“${next.instruction}”`;
  for (const build of [buildWords, buildFigures, buildLayers, buildTable, buildControls]) build();
  redraw();
}

// A picture's label, at the beginning of a sentence and within one; "Picture 2" is a word and a number.
function inOurLanguage(grid) {
  const spoken = label => label.replace(/^\D*[^\d ]/, text => say(text));
  return {...grid, label: spoken(grid.label), within: spoken(grid.label[0].toLowerCase() + grid.label.slice(1))};
}

// Instructions end with what they are about: "make the cat blue", "remove the dog".
function lastWord(words) {
  return Math.max(0, words.findLastIndex(word => /\p{L}/u.test(word)));
}

function refresh() {
  const next = props.value;
  const shows = Boolean(next?.words);
  explorer.hidden = !shows;
  find('.empty').hidden = shows;
  if (shows) return open(next);
  stop();
  header = null;
  find('.message').textContent = say(next?.message ?? '');
}
