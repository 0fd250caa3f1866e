// ---- blocks

function wanted(stream) {
  const patch = view.copied && stream !== 'target' && header.copied_from.includes(stream) ? markedPatch() : -1;
  if (patch >= 0) return {direction: COPIED, stream, step: MEAN, head: MEAN, patch, item: 0};
  return {direction: view.direction, stream, step: view.step, head: view.head, item: view.word};
}

function markedPatch() {
  const {picked} = view;
  if (!picked || picked.stream !== 'target') return -1;
  return header.patches.findIndex(([row, column]) => row === picked.row && column === picked.column);
}

function keyOf({direction, stream, step, head, patch = null}) {
  return [header.entry, direction, stream, step, head, patch].join('/');
}

function blockFor(stream) {
  return blocks.get(keyOf(wanted(stream)));
}

function fetchBlock(want) {
  const key = keyOf(want);
  if (blocks.has(key)) return Promise.resolve(blocks.get(key));
  if (!fetching.has(key)) {
    const arrival = download(want).then(block => keep(key, block)).finally(() => fetching.delete(key));
    fetching.set(key, arrival);
  }
  return fetching.get(key);
}

async function download({direction, stream, step, head, patch = null}) {
  const grid = header.streams.find(of => of.name === stream);
  const position = index => index === MEAN ? null : index;
  const asked = {entry: header.entry, direction, stream, step: position(step), head: position(head), patch};
  const answer = await server.maps_block(asked);
  if (answer.error) throw new Error(answer.error);
  const response = await fetch(answer.url);
  if (!response.ok) throw new Error(say('The maps could not be fetched; open this result again.'));
  const bytes = new Uint8Array(await response.arrayBuffer());
  const block = {bytes, scales: answer.scales, rows: grid.rows, columns: grid.columns,
                 size: grid.rows * grid.columns, items: answer.scales[0].length};
  if (bytes.length !== header.layers.length * block.items * block.size) {
    throw new Error(say('The maps arrived incomplete.'));
  }
  return {...block, means: meansOf(block)};
}

function keep(key, block) {
  blocks.set(key, block);
  let total = 0;
  for (const {bytes} of blocks.values()) total += bytes.length;
  for (const [oldest, {bytes}] of blocks) {
    if (total <= KEPT || oldest === key) break;
    blocks.delete(oldest);
    total -= bytes.length;
  }
  return block;
}

function meansOf({bytes, scales, size, items}) {
  return scales.map((row, layer) => row.map((scale, item) => {
    const start = (layer * items + item) * size;
    let sum = 0;
    for (let i = start; i < start + size; i++) sum += bytes[i];
    return sum * scale / 255 / size;
  }));
}

// ---- values

function shownLayers(stream) {
  return view.layer === MEAN ? ranking(stream).best : [view.layer];
}

function ranking(stream) {
  return header.rankings[`${view.direction}/${stream}`] ?? Object.values(header.rankings)[0];
}

function meanMap(block, layers, item) {
  const map = new Float32Array(block.size);
  for (const layer of layers) {
    const share = block.scales[layer][item] / 255 / layers.length;
    const start = (layer * block.items + item) * block.size;
    for (let i = 0; i < block.size; i++) map[i] += block.bytes[start + i] * share;
  }
  return map;
}

function sharedTop(block, item) {
  return Math.max(...block.scales.map(row => row[item]));
}

function valuesAt(block, layers, patch) {
  const place = patch.row * block.columns + patch.column;
  return header.words.map((_, word) => mean(layers.map(layer =>
    block.bytes[(layer * block.items + word) * block.size + place] * block.scales[layer][word] / 255)));
}

function valuesOverall(block, layers) {
  const patches = view.direction === 'image_to_text' ? 1 : block.size;  // a mean over queries, a sum over keys
  return header.words.map((_, word) => patches * mean(layers.map(layer => block.means[layer][word])));
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function largest(map) {
  let at = 0;
  for (let i = 1; i < map.length; i++) if (map[i] > map[at]) at = i;
  return at;
}
