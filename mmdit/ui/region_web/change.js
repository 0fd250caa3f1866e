// ---- changes of the mask, undone and redone; and what the server gets of them

let adjusting = null;  // the mask before the map's sliders were moved: their changes are one step together
let sending = 0;  // counts, so that of two answers of the encoder the later counts
let changing = null;

const ACTIONS = {
  undo: () => travel(past, future),
  redo: () => travel(future, past),
  invert: () => become(levels.map(level => 255 - level)),
  fill: () => become(levels.map(() => 255)),
  clear: () => become(levels.map(() => 0)),
};

function commit() {
  adjusting = null;
  replace(read());
}

function become(next) {
  adjusting = null;
  write(next);
  replace(next);
}

// While the map's sliders move, every mask follows from the one before them.
function adjust(next) {
  const merged = adjusting !== null;
  adjusting ??= levels;
  write(next);
  replace(next, merged);
}

function replace(next, merged = false) {
  if (next.every((level, i) => level === levels[i])) return drawSoon();
  if (!merged) past.push(levels);
  past = past.slice(-UNDOS);
  future = [];
  levels = next;
  drawSoon();
  send();
}

function travel(from, to) {
  if (!from.length || stroke) return;
  adjusting = null;
  to.push(levels);
  levels = from.pop();
  write(levels);
  drawSoon();
  send();
}

async function send() {
  const mine = ++sending;
  const marked = levels.some(level => level > 0);
  const uri = marked ? await pngOf(levels, picture.width, picture.height) : '';
  if (mine !== sending) return;
  props.value = {mask: uri, feather: view.feather};
  clearTimeout(changing);
  changing = setTimeout(() => trigger('change'), CHANGE_MS);
}
