// ---- cards

async function listCards() {
  const told = await server.catalogue();
  find('.cards').innerHTML = told.cards;
  find('.problems').innerHTML = told.problems;
  find('.problems').hidden = !told.problems;
  filterCards();
  markCards();
}

function filterCards() {
  const words = find('.search').value.toLocaleLowerCase().split(/\s+/).filter(Boolean);
  const cards = [...element.querySelectorAll('.card')];
  let visible = 0;
  for (const card of cards) {
    const foreign = card.classList.contains('foreign');
    card.hidden = (foreign && scope === 'fits') || !words.every(word => card.dataset.text.includes(word));
    visible += !card.hidden;
  }
  const none = find('.no-cards');
  none.hidden = visible > 0;
  none.textContent = words.length ? say('Nothing here matches “{text}”.', {text: find('.search').value.trim()})
    : say('There are no LoRAs for this model yet. Put one into the folder lora_presets, or drop a file below.');
  if (words.length && scope === 'fits') none.textContent += ` ${say('“All” also searches those for other models.')}`;
}

function markCards() {
  for (const card of element.querySelectorAll('.card:not(.foreign)')) {
    card.setAttribute('aria-pressed', items.some(({key}) => key === card.dataset.key));
  }
}

function toggle(card) {
  const {key} = card.dataset;
  const title = card.querySelector('.title').textContent;
  if (card.classList.contains('foreign')) {
    return tell('.card-news', `${say('{title} is for another model.', {title})} ${card.querySelector('.needs').textContent}`);
  }
  tell('.card-news', '');
  if (items.some(item => item.key === key)) return commit(items.filter(item => item.key !== key));
  add(key, Number(card.dataset.weight), key.replace(/^preset:/, ''));
}

function add(key, weight, name) {
  commit([...items, {key, weight, partial: false, blocks: null, name}]);
}

find('.cards').addEventListener('click', event => {
  const card = event.target.closest('.card');
  if (card) toggle(card);
});
find('.search').addEventListener('input', filterCards);
find('.again').addEventListener('click', listCards);
find('.scope').addEventListener('click', event => {
  const chosen = event.target.closest('[data-scope]');
  if (!chosen) return;
  scope = chosen.dataset.scope;
  for (const button of find('.scope').children) button.setAttribute('aria-pressed', button === chosen);
  tell('.card-news', '');
  filterCards();
});

// ---- a dropped file

async function inspect(file) {
  const drop = find('.drop');
  drop.classList.add('busy');
  tell('.card-news', '');
  put(null);
  try {
    if (!file.name.toLowerCase().endsWith('.safetensors')) {
      throw new Error(say('“{name}” is no .safetensors file; only such files are loaded.', {name: file.name}));
    }
    const {path} = await upload(file).catch(() => {
      throw new Error(say('“{name}” could not be sent; it may be too large.', {name: file.name}));
    });
    const told = await server.inspect_file(path);
    if (told.error) throw new Error(told.error);
    put(told);
  } catch (error) {
    tell('.card-news', error.message);
  } finally {
    drop.classList.remove('busy');
    find('.drop input').value = '';
  }
}

function put(told) {
  dropped = told;
  find('.inspected').innerHTML = told?.html ?? '';
  find('.inspected').hidden = !told;
}

find('.drop input').addEventListener('change', event => event.target.files[0] && inspect(event.target.files[0]));
for (const kind of ['dragover', 'dragleave', 'drop']) {
  element.addEventListener(kind, event => {
    if (![...event.dataTransfer?.types ?? []].includes('Files')) return;
    event.preventDefault();
    find('.drop').classList.toggle('over', kind === 'dragover');
    if (kind === 'drop' && event.dataTransfer.files[0]) inspect(event.dataTransfer.files[0]);
  });
}
find('.inspected').addEventListener('click', event => {
  if (event.target.closest('.close')) put(null);
  if (event.target.closest('.add')) {
    const {key, name} = dropped;
    const partial = find('.inspected .partial input')?.checked ?? false;
    put(null);
    if (!items.some(item => item.key === key)) commit([...items, {key, weight: 1, partial, blocks: null, name}]);
  }
});
