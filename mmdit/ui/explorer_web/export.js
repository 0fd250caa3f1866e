// ---- export

function exportPicture() {
  const shown = header.streams.map(({name}) => figures.get(name)).filter(figure => !figure.canvas.hidden);
  const tall = Math.min(1024, Math.max(...shown.map(figure => figure.image?.naturalHeight || 512)));
  const widths = shown.map(figure => Math.round(tall * figure.shape));
  const margin = 24, bar = 90, line = 30;
  const canvas = document.createElement('canvas');
  canvas.width = margin + widths.reduce((sum, width) => sum + width + bar + margin, 0);
  canvas.height = tall + 2 * margin + 3 * line;
  const brush = canvas.getContext('2d');
  brush.fillStyle = 'white';
  brush.fillRect(0, 0, canvas.width, canvas.height);
  let left = margin;
  shown.forEach((figure, index) => {
    exportFigure(brush, figure, left, margin + line, widths[index], tall);
    left += widths[index] + bar + margin;
  });
  caption(brush, margin, tall + margin + 2 * line, canvas.width - 2 * margin);
  canvas.toBlob(blob => save(blob, `${header.entry}.${slug(header.words[view.word])}.png`));
}

function exportFigure(brush, figure, left, top, width, height) {
  brush.fillStyle = 'black';
  brush.fillRect(left, top, width, height);
  if (figure.image?.naturalWidth) brush.drawImage(figure.image, left, top, width, height);
  brush.globalAlpha = view.opacity / 100;
  brush.drawImage(figure.canvas, left, top, width, height);
  brush.globalAlpha = 1;
  brush.drawImage(figure.scale, left + width + 10, top, 16, height);
  brush.fillStyle = '#222';
  brush.font = '16px system-ui, sans-serif';
  brush.fillText(figure.caption.textContent, left, top - 12, width);
  brush.fillText(figure.top.textContent, left + width + 32, top + 14);
  brush.fillText('0 %', left + width + 32, top + height);
}

function caption(brush, left, top, width) {
  brush.fillStyle = '#222';
  brush.font = '600 19px system-ui, sans-serif';
  brush.fillText(`“${header.words[view.word]}” · ${direction()}`, left, top, width);
  brush.font = '16px system-ui, sans-serif';
  const parts = [`${say('layer')}: ${layerName('target')}`, stepName(view.step) && `${say('step')}: ${stepName(view.step)}`,
                 view.head !== MEAN && say('head {head}', {head: header.heads[view.head]}), `“${header.instruction}”`];
  brush.fillText(parts.filter(Boolean).join(' · '), left, top + 26, width);
}

function save(blob, name) {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function slug(text) {
  return text.replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '') || 'map';
}

// The map of this view's word over the picture that is marked, which the server finds by its place in the recording.
function useAsRegion() {
  const position = index => index === MEAN ? null : index;
  const {word, direction} = view;
  trigger('submit', {entry: header.entry, word, direction, layer: position(view.layer), step: position(view.step),
                     head: position(view.head)});
}
