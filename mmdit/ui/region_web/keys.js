// ---- controls, shortcuts, and the pictures that the server sends

const TOOL_KEYS = {b: 'brush', e: 'eraser', r: 'rectangle', l: 'lasso'};

function setTool(tool) {
  if (stroke) return;
  view.tool = tool;
  moveCursor(cursor);
  drawSoon();
}

function setSize(size) {
  view.size = clamp(size, 0, 100);
  moveCursor(cursor);
  drawSoon();
}

function shortcut(event) {
  const key = event.key.toLowerCase();
  if (key === '[' || key === ']') return () => setSize(view.size + (key === ']' ? 4 : -4));  // AltGr on some keyboards
  if (event.altKey || event.target.matches('select')) return null;
  if (event.ctrlKey || event.metaKey) {
    if (key === 'z') return event.shiftKey ? ACTIONS.redo : ACTIONS.undo;
    return key === 'y' ? ACTIONS.redo : null;
  }
  if (key === 'i') return () => stroke || ACTIONS.invert();
  return TOOL_KEYS[key] ? () => setTool(TOOL_KEYS[key]) : null;
}

find('.painter').addEventListener('keydown', event => {
  const action = shortcut(event);
  if (!action) return;
  event.preventDefault();
  action();
});
find('.toolbar').addEventListener('click', event => {
  const {tool, action} = event.target.closest('button')?.dataset ?? {};
  if (tool) setTool(tool);
  if (action && !stroke) ACTIONS[action]();
});
find('.size').addEventListener('input', event => setSize(Number(event.target.value)));
find('.feather').addEventListener('input', event => {
  view.feather = Number(event.target.value);
  drawSoon();
});
find('.feather').addEventListener('change', send);
find('.word').addEventListener('change', event => {
  if (event.target.value !== '') takeMap({word: Number(event.target.value)});
});
find('.add').addEventListener('change', () => adjusting && applyMapSoon());
find('.word-map').addEventListener('input', event => {
  const {map: name} = event.target.dataset;
  if (!name) return;
  ofMap[name] = Number(event.target.value);
  drawMapControls();
  applyMapSoon();
});

async function open(next) {
  const mine = ++sending;
  forgetMap();
  const [width, height] = next.preview;
  picture = {width, height, full: next.size};
  for (const canvas of [overlay, mask, layer]) Object.assign(canvas, {width, height});
  find('.frame').style.setProperty('--width', width);
  find('.frame').style.setProperty('--height', height);
  find('.frame img').src = next.picture;
  [levels, past, future, stroke, adjusting] = [new Uint8Array(width * height), [], [], null, null];
  view.feather = next.feather;
  find('.feather').max = Math.max(64, next.feather);
  moveCursor(null);
  drawSoon();
  props.value = {mask: next.mask, feather: next.feather};
  if (next.mask) {
    const marked = await levelsOf(next.mask, width, height);
    if (mine !== sending) return;
    levels = marked;
    write(levels);
    drawSoon();
  }
  offerWords(next);
}

function close() {
  sending++;
  picture = null;
  find('.frame img').removeAttribute('src');
  if (props.value?.mask) props.value = {mask: '', feather: view.feather};  // what nobody sees must not count
}

function refresh() {
  const {picture: sent} = props.value ?? {};
  if (sent === undefined && picture) return;  // our own value
  find('.painter').hidden = !sent;
  find('.empty').hidden = Boolean(sent);
  if (sent) open(props.value);
  else close();
}

new ResizeObserver(() => drawSoon()).observe(overlay);
watch('value', refresh);
refresh();
