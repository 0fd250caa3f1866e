// ---- drawing what is marked

let frame = 0;
let counted = null, share = 0;  // the levels whose sum is known, and it: 0 to 1
const layer = document.createElement('canvas');

function drawSoon() {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (picture) draw();
  });
}

function draw() {
  const {width, height} = picture;
  const brush = overlay.getContext('2d');
  const thick = overlay.clientWidth ? width / overlay.clientWidth : 1;  // a pixel of the screen
  brush.clearRect(0, 0, width, height);
  brush.drawImage(tinted('black', 3 * thick), 0, 0);
  brush.drawImage(tinted('white', 1.5 * thick), 0, 0);
  brush.globalCompositeOperation = 'destination-out';
  brush.drawImage(mask, 0, 0);
  brush.globalCompositeOperation = 'source-over';
  brush.drawImage(tinted(TINT, 0), 0, 0);
  if (stroke && !paintsAsItGoes()) drawOutline(brush, thick);
  drawState();
}

// The mask in one colour, wider by some pixels to four sides: an edge in two colours is seen on any picture.
function tinted(colour, wider) {
  const {width, height} = picture;
  if (layer.width !== width || layer.height !== height) Object.assign(layer, {width, height});
  const brush = layer.getContext('2d');
  brush.globalCompositeOperation = 'source-over';
  brush.clearRect(0, 0, width, height);
  const sides = wider ? [[wider, 0], [-wider, 0], [0, wider], [0, -wider]] : [[0, 0]];
  for (const [x, y] of sides) brush.drawImage(mask, x, y);
  brush.globalCompositeOperation = 'source-in';
  brush.fillStyle = colour;
  brush.fillRect(0, 0, width, height);
  return layer;
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
  if (!share) return 'Nothing is marked: the whole picture is edited.';
  return `${share < 0.01 ? 'Less than 1' : Math.round(100 * share)} % of the picture is marked; the rest stays as it is.`;
}

function tell(text, error = false) {
  const news = find('.news');
  if (news.textContent !== text) news.textContent = text;
  news.classList.toggle('error', error);
}
