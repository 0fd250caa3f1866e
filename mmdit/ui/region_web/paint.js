// ---- painting: strokes go to the mask's canvas, and become levels when they end

let stroke = null;  // {tool, erases, pointer, points}

function begin(at, erases, pointer) {
  stroke = {tool: view.tool, erases: erases || view.tool === 'eraser', pointer, points: [at]};
  follow(at, at);
}

function extend(at) {
  const before = stroke.points.at(-1);
  stroke.points.push(at);
  follow(before, at);
}

function follow(from, to) {
  if (!paintsAsItGoes()) return drawSoon();
  paintLine(from, to);
  const around = diameter() / 2 + 1;
  drawSoon({left: Math.min(from.x, to.x) - around, top: Math.min(from.y, to.y) - around,
            right: Math.max(from.x, to.x) + around, bottom: Math.max(from.y, to.y) + around});
}

function end() {
  if (!paintsAsItGoes()) withInk(() => ink.fill(shapeOf(stroke)));
  stroke = null;
  commit();
}

function cancel() {
  stroke = null;
  write(levels);
  drawSoon();
}

function paintsAsItGoes() {
  return stroke.tool === 'brush' || stroke.tool === 'eraser';
}

function withInk(paint) {
  ink.globalCompositeOperation = stroke?.erases ? 'destination-out' : 'source-over';
  paint();
  ink.globalCompositeOperation = 'source-over';
}

function paintLine(from, to) {
  withInk(() => {
    Object.assign(ink, {lineWidth: diameter(), lineCap: 'round'});
    ink.beginPath();
    ink.moveTo(from.x, from.y);
    ink.lineTo(to.x, to.y);
    ink.stroke();
  });
}

function shapeOf({tool, points}) {
  const shape = new Path2D();
  const [first, last] = [points[0], points.at(-1)];
  if (tool === 'rectangle') {
    const [left, top] = [Math.round(first.x), Math.round(first.y)];
    shape.rect(left, top, Math.round(last.x) - left, Math.round(last.y) - top);
  } else {
    for (const {x, y} of points) shape.lineTo(x, y);
    shape.closePath();
  }
  return shape;
}

// ---- levels of the whole mask

function read() {
  const {data} = ink.getImageData(0, 0, picture.width, picture.height);
  const found = new Uint8Array(data.length / 4);
  for (let i = 0; i < found.length; i++) found[i] = data[4 * i + 3];
  return found;
}

function write(wanted) {
  const image = new ImageData(picture.width, picture.height);
  for (let i = 0; i < wanted.length; i++) image.data[4 * i + 3] = wanted[i];
  ink.putImageData(image, 0, 0);
}
