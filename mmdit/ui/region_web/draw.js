// ---- drawing what is marked

let frame = 0;
let dirty = null;  // what the next frame draws anew
let counted = null, share = 0;  // the levels whose sum is known, and it: 0 to 1
const layer = document.createElement('canvas');

function drawSoon(box = {left: 0, top: 0, right: Infinity, bottom: Infinity}) {
  dirty = dirty ? {
    left: Math.min(dirty.left, box.left), top: Math.min(dirty.top, box.top),
    right: Math.max(dirty.right, box.right), bottom: Math.max(dirty.bottom, box.bottom),
  } : box;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (picture) draw();
    dirty = null;
  });
}

function draw() {
  const thick = overlay.clientWidth ? picture.width / overlay.clientWidth : 1;  // a pixel of the screen
  const brush = within(overlay, 4 * thick);
  const tinted = (colour, wider) => brush.drawImage(tint(colour, wider, 4 * thick), 0, 0);
  brush.clearRect(0, 0, overlay.width, overlay.height);
  tinted('black', 3 * thick);
  tinted('white', 1.5 * thick);
  brush.globalCompositeOperation = 'destination-out';
  brush.drawImage(mask, 0, 0);
  brush.globalCompositeOperation = 'source-over';
  tinted(TINT, 0);
  if (stroke && !paintsAsItGoes()) drawOutline(brush, thick);
  brush.restore();
  drawState();
}

// The mask in one colour, wider by some pixels to four sides: an edge in two colours is seen on any picture.
function tint(colour, wider, margin) {
  const brush = within(layer, margin);
  brush.clearRect(0, 0, layer.width, layer.height);
  const sides = wider ? [[wider, 0], [-wider, 0], [0, wider], [0, -wider]] : [[0, 0]];
  for (const [x, y] of sides) brush.drawImage(mask, x, y);
  brush.globalCompositeOperation = 'source-in';
  brush.fillStyle = colour;
  brush.fillRect(0, 0, layer.width, layer.height);
  brush.restore();
  return layer;
}

// A canvas's context that draws only where the mask has changed, until it is restored.
function within(canvas, margin) {
  const brush = canvas.getContext('2d');
  const left = Math.max(0, Math.floor(dirty.left - margin)), top = Math.max(0, Math.floor(dirty.top - margin));
  const right = Math.min(canvas.width, dirty.right + margin), bottom = Math.min(canvas.height, dirty.bottom + margin);
  brush.save();
  brush.beginPath();
  brush.rect(left, top, Math.ceil(right) - left, Math.ceil(bottom) - top);
  brush.clip();
  return brush;
}

function drawOutline(brush, thick) {
  const shape = shapeOf(stroke);
  for (const [colour, dash] of [['black', []], ['white', [5 * thick, 5 * thick]]]) {
    brush.setLineDash(dash);
    Object.assign(brush, {strokeStyle: colour, lineWidth: 1.5 * thick});
    brush.stroke(shape);
  }
  brush.setLineDash([]);
}

function drawState() {
  for (const button of element.querySelectorAll('[data-tool]')) {
    button.setAttribute('aria-pressed', String(button.dataset.tool === view.tool));
  }
  find('[data-action=undo]').setAttribute('aria-disabled', String(!past.length));
  find('[data-action=redo]').setAttribute('aria-disabled', String(!future.length));
  setRange('.size', view.size, `${Math.round(diameter() * fullScale())} px`);
  setRange('.feather', view.feather, `${view.feather} px`);
  if (!stroke) tell(shareText());
}

function setRange(selector, value, text) {
  const range = find(selector);
  range.value = value;
  range.setAttribute('aria-valuetext', text);
  find(`${selector}-name`).textContent = text;
}

function shareText() {
  if (counted !== levels) share = levels.reduce((sum, level) => sum + level, 0) / 255 / levels.length;
  counted = levels;
  if (!share) return say('Nothing is marked: the whole picture is edited.');
  if (share < 0.01) return say('Less than 1 % of the picture is marked; the rest stays as it is.');
  return say('{share} % of the picture is marked; the rest stays as it is.', {share: Math.round(100 * share)});
}

function tell(text, error = false) {
  const news = find('.news');
  if (news.textContent !== text) news.textContent = text;
  news.classList.toggle('error', error);
}
