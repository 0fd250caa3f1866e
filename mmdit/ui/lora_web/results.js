// The LoRA tab's lower half: a series of pictures, as the server's HTML, and one of them large.

const find = selector => element.querySelector(selector);
const dialog = find('dialog');
let large = 0;

const all = () => [...element.querySelectorAll('.body .result')];

function refresh() {
  const shown = props.value ?? {};
  find('.results').hidden = !shown.html;
  find('.body').innerHTML = shown.html ?? '';
  find('h3').textContent = shown.title ?? '';
  find('.save').hidden = !all().length;
  tell('');
}

function tell(text) {
  find('.news').textContent = text;
  find('.news').hidden = !text;
}

function show(place) {
  const results = all();
  large = (place + results.length) % results.length;
  const {full, caption} = results[large].dataset;
  Object.assign(dialog.querySelector('img'), {src: full, alt: caption});
  find('.caption').textContent = caption;
  find('.previous').disabled = find('.next').disabled = results.length < 2;
  if (!dialog.open) dialog.showModal();
}

async function save() {
  const told = await server.sheet({job: props.value.job, word: find('.word')?.value ?? null});
  if (told.error) return tell(told.error);
  const link = document.createElement('a');
  Object.assign(link, {href: told.url, download: told.name});
  link.click();
}

find('.body').addEventListener('click', event => {
  const result = event.target.closest('.result');
  if (result) show(all().indexOf(result));
});
find('.body').addEventListener('change', event => {
  if (event.target.matches('.word')) trigger('select', {word: event.target.value});
});
find('.save').addEventListener('click', save);
find('.previous').addEventListener('click', () => show(large - 1));
find('.next').addEventListener('click', () => show(large + 1));
find('.shut').addEventListener('click', () => dialog.close());
find('.open').addEventListener('click', () => {
  dialog.close();
  trigger('submit', {open: all()[large].dataset.entry});
});
dialog.addEventListener('click', event => event.target === dialog && dialog.close());
dialog.addEventListener('keydown', event => {
  if (event.key === 'ArrowLeft') show(large - 1);
  if (event.key === 'ArrowRight') show(large + 1);
});
watch('value', refresh);
refresh();
