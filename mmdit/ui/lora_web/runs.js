// ---- series of edits

function drawRuns() {
  const options = () => items.map(({key, name}) => make('option', {value: key}, name ?? key));
  const x = find('.x'), y = find('.y');
  const before = [x.value, y.value];
  x.replaceChildren(...options());
  y.replaceChildren(make('option', {value: ''}, say('none')), ...options());
  x.value = items.some(({key}) => key === before[0]) ? before[0] : items[0]?.key ?? '';
  y.value = items.some(({key}) => key === before[1]) ? before[1] : '';
  find('.together').hidden = items.length < 2;
  countPictures();
}

function countPictures() {
  const weights = input => new Set(find(input).value.split(/[,;\s]+/).filter(Boolean)).size;
  const across = weights('.xs'), down = find('.y').value ? weights('.ys') : 1;
  find('.ys').disabled = !find('.y').value;
  find('.start-compare').textContent = `${say('Compare')} · ${pictures(items.length + 1 + (items.length > 1))}`;
  find('.start-grid').textContent = `${say('Make the grid')} · ${pictures(across * down)}`;
}

function pictures(count) {
  return count === 1 ? say('1 picture') : say('{count} pictures', {count});
}

find('.start-compare').addEventListener('click', () => trigger('submit', {run: 'compare'}));
find('.grid-run').addEventListener('input', countPictures);
find('.grid-run').addEventListener('submit', event => {
  event.preventDefault();
  trigger('submit', {run: 'grid', x: find('.x').value, xs: find('.xs').value, y: find('.y').value, ys: find('.ys').value});
});

watch('value', () => {
  items = props.value?.items ?? [];
  draw();
});
items = props.value?.items ?? [];
draw();
listCards();
document.addEventListener('mmdit-model', () => {  // what was said of cards and rows was about another one
  listCards();
  put(null);
  for (const [key, row] of rows) row.isConnected ? describe(row, server.row) : rows.delete(key);
});
