// ---- mouse, pen, finger; and the keyboard's cursor, which moves the same tools

let cursor = null;  // where the tool is

function placeOf(event) {
  const box = overlay.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) / box.width * picture.width,
    y: (event.clientY - box.top) / box.height * picture.height,
  };
}

function moveCursor(at) {
  cursor = at;
  const circle = find('.cursor');
  circle.hidden = !at;
  if (!at) return;
  const {width, height} = picture;
  const painting = view.tool === 'brush' || view.tool === 'eraser';
  circle.classList.toggle('cross', !painting);
  Object.assign(circle.style, {left: `${100 * at.x / width}%`, top: `${100 * at.y / height}%`,
                               width: painting ? `${100 * diameter() / width}%` : ''});
}

overlay.addEventListener('pointerdown', event => {
  const erasing = event.button === 5;  // a pen's other end
  if (stroke || !event.isPrimary || (event.button !== 0 && !erasing)) return;
  event.preventDefault();
  overlay.focus({preventScroll: true});
  overlay.setPointerCapture(event.pointerId);
  const at = placeOf(event);
  moveCursor(at);
  begin(at, erasing || event.altKey, event.pointerId);
});
overlay.addEventListener('pointermove', event => {
  if (event.isPrimary && stroke?.pointer !== 'keyboard') moveCursor(placeOf(event));
  if (stroke?.pointer !== event.pointerId) return;
  const all = event.getCoalescedEvents?.() ?? [];
  for (const each of all.length ? all : [event]) extend(placeOf(each));
});
overlay.addEventListener('pointerup', event => {
  if (stroke?.pointer === event.pointerId) end();
});
overlay.addEventListener('pointercancel', event => {
  if (stroke?.pointer === event.pointerId) cancel();
});
overlay.addEventListener('pointerleave', () => stroke || moveCursor(null));

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

overlay.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey) return;
  const arrow = ARROWS[event.key];
  if (arrow) stepCursor(arrow, event.shiftKey);
  else if (event.key === ' ' || event.key === 'Enter') putDownOrLift(event);
  else if (event.key === 'Escape' && stroke) cancel();
  else return;
  event.preventDefault();
});
overlay.addEventListener('blur', () => {
  if (stroke?.pointer === 'keyboard') end();
});

function stepCursor([right, down], finely) {
  if (stroke && stroke.pointer !== 'keyboard') return;
  const {width, height} = picture;
  const step = finely ? 1 : Math.max(1, Math.round(Math.max(width, height) / 64));
  const from = cursor ?? {x: width / 2, y: height / 2};
  moveCursor({x: clamp(from.x + step * right, 0, width), y: clamp(from.y + step * down, 0, height)});
  if (stroke) extend(cursor);
}

function putDownOrLift(event) {
  if (event.repeat) return;
  if (stroke) return stroke.pointer === 'keyboard' && end();
  if (!cursor) stepCursor([0, 0]);
  begin(cursor, event.altKey, 'keyboard');
}
