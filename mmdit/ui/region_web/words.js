// ---- the region from a word's map

let map = null;  // {values, rows, columns}
let asking = 0;
let mapFrame = 0;

function forgetMap() {
  map = null;
  asking++;
}

function offerWords({entry, words = [], chosen}) {
  picture.entry = entry;
  const options = words.map((word, index) => make('option', {value: index}, word));
  find('.word').replaceChildren(make('option', {value: ''}, say('choose…')), ...options);
  find('.word-map').hidden = !words.length;
  find('.which').hidden = true;
  const most = Math.max(8, Math.round(Math.max(...picture.full) / 16));
  Object.assign(find('[data-map=grow]'), {min: -most, max: most});
  ofMap.grow = 0;
  drawMapControls();
  if (words.length && chosen) takeMap(chosen);
}

async function takeMap(chosen) {
  const mine = ++asking;
  const rest = ['layer', 'step', 'head'].filter(kind => Number.isInteger(chosen[kind]));
  find('.word').value = chosen.word;
  find('.which').hidden = !rest.length;
  const of = rest.map(kind => `${say(kind)} ${chosen[kind] + 1}`).join(', ');
  find('.which').textContent = say('The map of {of}', {of});
  const answer = await server.word_map({...chosen, entry: picture.entry})
    .catch(() => ({error: say('The map could not be fetched; choose the word again.')}));
  if (mine !== asking) return;  // another word, or another picture, has been chosen meanwhile
  if (answer.error) return tell(answer.error, true);
  const bytes = Uint8Array.from(atob(answer.values), letter => letter.charCodeAt(0));
  map = {values: new Float32Array(bytes.buffer), rows: answer.rows, columns: answer.columns};
  drawMapControls();
  applyMap();
}

function applyMap() {
  if (!map || stroke) return;
  const made = levelsOfMap(map, {
    threshold: ofMap.threshold / 100, smooth: ofMap.smooth, grow: ofMap.grow / fullScale(),
  }, picture.width, picture.height);
  const before = adjusting ?? levels;
  adjust(find('.add').checked ? made.map((level, i) => Math.max(level, before[i])) : made);
}

function applyMapSoon() {
  mapFrame ||= requestAnimationFrame(() => {
    mapFrame = 0;
    applyMap();
  });
}

function drawMapControls() {
  const texts = {
    threshold: say('{share} % of the largest', {share: ofMap.threshold}),
    smooth: ofMap.smooth ? say('{count} patches', {count: ofMap.smooth}) : say('none'),
    grow: `${ofMap.grow > 0 ? '+' : ''}${ofMap.grow} px`.replace('-', '−'),
  };
  for (const [name, text] of Object.entries(texts)) {
    const range = find(`[data-map=${name}]`);
    range.value = ofMap[name];
    range.disabled = !map;
    range.setAttribute('aria-valuetext', text);
    range.closest('label').querySelector('.value').textContent = text;
  }
}
