// ---- what the user does

const KEYS = {
  ArrowLeft: () => setLayer(view.layer - 1),
  ArrowRight: () => setLayer(view.layer + 1),
  ArrowUp: () => setStep(view.step + 1),
  ArrowDown: () => setStep(view.step - 1),
  d: nextDirection,
  ' ': togglePlay,
  Escape: () => change({picked: null, hovered: null}),
};
const PATCH_KEYS = {
  ArrowLeft: () => movePatch(0, -1), ArrowRight: () => movePatch(0, 1),
  ArrowUp: () => movePatch(-1, 0), ArrowDown: () => movePatch(1, 0),
};

function keyAction(event) {
  if (event.shiftKey && PATCH_KEYS[event.key]) return PATCH_KEYS[event.key];
  if (/^[1-9]$/.test(event.key)) return () => setWord(Number(event.key) - 1);
  if (event.key === ' ' || /^Arrow(Up|Down)$/.test(event.key)) return header.steps.length > 1 ? KEYS[event.key] : null;
  return KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
}

// A control keeps the keys that it uses itself.
function usesKey(target, key) {
  if (target.matches('select')) return key !== 'Escape';
  if (target.matches('input[type=range]')) return key.startsWith('Arrow');
  return target.matches('button, a, input') && key === ' ';
}

explorer.addEventListener('keydown', event => {
  if (!header || event.ctrlKey || event.metaKey || event.altKey || usesKey(event.target, event.key)) return;
  const action = keyAction(event);
  if (!action) return;
  event.preventDefault();
  action();
});
find('.layer').addEventListener('input', event => setLayer(Number(event.target.value)));
find('.step').addEventListener('input', event => setStep(Number(event.target.value)));
find('.opacity').addEventListener('input', event => change({opacity: Number(event.target.value)}));
find('.head').addEventListener('change', event => change({head: Number(event.target.value)}));
find('.colours').addEventListener('change', event => change({colours: event.target.value}));
find('.scaling').addEventListener('change', event => change({shared: event.target.value === 'shared'}));
find('.ranked').addEventListener('click', () => change({ranked: !view.ranked}));
find('.play').addEventListener('click', togglePlay);
find('.save').addEventListener('click', exportPicture);
find('.region').addEventListener('click', useAsRegion);
find('.copied').addEventListener('change', event => {
  for (const mark of element.querySelectorAll('.marked')) mark.hidden = !event.target.checked;
  view.copied = event.target.checked;
  change({picked: view.picked && nearestMarked(view.picked)});
});
watch('value', refresh);
refresh();
