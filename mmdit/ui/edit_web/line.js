// Of a stack, whenever it changes: the line on the edit tab. What it keeps is found again after a reload.
(stack) => {
  const items = stack?.items ?? [];
  try {
    sessionStorage.setItem('mmdit-loras', JSON.stringify(items));
  } catch { /* some browsers keep nothing */ }
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'lora-line';
  const weight = item => String(Number(Number(item.weight).toPrecision(4))).replace('-', '−');
  const name = item => item.name ?? String(item.key).replace(/^preset:/, '');
  const parts = items.map(item => `${name(item)} ${weight(item)}`);
  button.textContent = parts.length ? `LoRAs: ${parts.join(' · ')}` : say('No LoRAs · add a look');
  button.dataset.count = String(parts.length);
  return button.outerHTML;
}
