// ---- the stack

function draw() {
  const list = find('.rows');
  const wanted = items.map(({key}) => rowOf(key));
  const focused = document.activeElement;
  for (const row of [...list.children]) if (!wanted.includes(row)) row.remove();
  wanted.forEach((row, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
    drawRow(row, items[place], place);
  });
  if (focused !== document.activeElement && list.contains(focused)) focused.focus();  // moving an element drops focus
  find('.empty').hidden = find('.runs').hidden = find('.clear').hidden = true;
  find(items.length ? '.runs' : '.empty').hidden = false;
  find('.clear').hidden = !items.length;
  const notes = props.value?.notes ?? [];
  find('.notes').replaceChildren(...notes.map(note => make('li', {}, `${note[0].toUpperCase()}${note.slice(1)}.`)));
  find('.notes').hidden = !notes.length;
  markCards();
  drawRuns();
}

function rowOf(key) {
  if (!rows.has(key)) {
    const row = make('li', {class: 'row', 'data-key': key, 'aria-busy': 'true'});
    rows.set(key, row);
    describe(row, server.row);
  }
  return rows.get(key);
}

async function describe(row, ask) {
  const {key} = row.dataset;
  const told = await ask(key);
  if (told.gone) {
    rows.delete(key);
    return commit(items.filter(item => item.key !== key), [...props.value?.notes ?? [], told.gone]);
  }
  row.told = told;
  row.innerHTML = told.html;
  row.removeAttribute('aria-busy');
  if (told.pending) setTimeout(() => rows.get(key) === row && row.isConnected && describe(row, server.row), 1500);
  draw();
}

function drawRow(row, item, place) {
  if (!row.told) return row.replaceChildren(make('span', {class: 'title'}, item.name ?? '…'));
  const slider = row.querySelector('.slider'), number = row.querySelector('.number');
  slider.min = Math.min(slider.min, item.weight);
  slider.max = Math.max(slider.max, item.weight);
  if (Number(slider.value) !== item.weight) slider.value = item.weight;
  if (document.activeElement !== number) number.value = Number(item.weight.toPrecision(4));
  row.querySelector('[data-action=up]').disabled = place === 0;
  row.querySelector('[data-action=down]').disabled = place === items.length - 1;
  row.querySelector('.per-block').hidden = !item.blocks;
  const tick = row.querySelector('.partial input');
  if (tick) tick.checked = item.partial;
  row.querySelector('.truth').classList.toggle('in-part', Boolean(tick && item.partial));
  drawEffect(row, item.weight);
}

function drawEffect(row, weight) {
  const effect = row.querySelector('.effect');
  if (!effect) return;
  const scales = JSON.parse(row.querySelector('.facts').dataset.scales);
  const ends = [...new Set(scales.map(scale => shown(scale * weight)))];
  effect.textContent = `× ${shown(weight)} = ${ends.join('–')}`;
}

function setWeight(key, weight) {
  commit(items.map(item => item.key === key ? {...item, weight} : item));
}

function typeWeight(row, text) {
  const {key} = row.dataset;
  const weight = Number(text.trim().replace('−', '-').replace(',', '.') || NaN);
  const good = weight >= LOWEST && weight <= HIGHEST;
  tell('.stack-news', good ? '' : say('“{text}” is no weight; use a number from −2 to 2.', {text}));
  if (good) setWeight(key, weight);
  row.querySelector('.number').value = Number(items.find(item => item.key === key).weight.toPrecision(4));
}

function act(key, action) {
  const place = items.findIndex(item => item.key === key);
  const next = [...items];
  const [item] = next.splice(place, 1);
  if (action !== 'remove') next.splice(place + (action === 'up' ? -1 : 1), 0, item);
  tell('.stack-news', '');
  commit(next);
  if (action === 'remove') (find('.rows').children[place]?.querySelector('[data-action=remove]') ?? find('.search')).focus();
}

find('.rows').addEventListener('input', event => {
  const {key} = event.target.closest('.row').dataset;
  if (event.target.matches('.slider')) setWeight(key, Number(event.target.value));
  if (event.target.matches('.partial input')) {
    commit(items.map(item => item.key === key ? {...item, partial: event.target.checked} : item));
  }
});
find('.rows').addEventListener('change', event => {
  if (event.target.matches('.number')) typeWeight(event.target.closest('.row'), event.target.value);
});
find('.rows').addEventListener('click', event => {
  const row = event.target.closest('.row'), button = event.target.closest('button');
  if (!row || !button) return;
  const {key} = row.dataset;
  if (button.dataset.action) act(key, button.dataset.action);
  if (button.matches('.fetch')) {
    button.disabled = true;
    button.textContent = say('Fetching…');
    describe(row, server.fetch_row);
  }
  if (button.dataset.words) {
    trigger('select', {key, words: Number(button.dataset.words)});
    tell('.stack-news', say('The instruction is now “{text}”.', {text: button.textContent}));
  }
});
find('.clear').addEventListener('click', () => commit([]));
