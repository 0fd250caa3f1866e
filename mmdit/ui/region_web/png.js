// ---- masks as 8-bit greyscale PNG (a canvas would write RGBA)

const CRC = Uint32Array.from({length: 256}, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
  return n;
});

async function pngOf(grey, width, height) {
  const lines = new Uint8Array((width + 1) * height);  // a line begins with its filter, 0: none
  for (let y = 0; y < height; y++) lines.set(grey.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const packed = new Response(new Blob([lines]).stream().pipeThrough(new CompressionStream('deflate')));
  const shape = new Uint8Array(13);
  new DataView(shape.buffer).setUint32(0, width);
  new DataView(shape.buffer).setUint32(4, height);
  shape[8] = 8;  // bits; colour type 0, greyscale
  const chunks = [chunk('IHDR', shape), chunk('IDAT', new Uint8Array(await packed.arrayBuffer())), chunk('IEND', [])];
  return dataUri(new Blob([Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10), ...chunks], {type: 'image/png'}));
}

function chunk(name, data) {
  const bytes = new Uint8Array(12 + data.length);
  const numbers = new DataView(bytes.buffer);
  numbers.setUint32(0, data.length);
  bytes.set([...name].map(letter => letter.charCodeAt(0)), 4);
  bytes.set(data, 8);
  let crc = ~0;
  for (let i = 4; i < 8 + data.length; i++) crc = CRC[(crc ^ bytes[i]) & 255] ^ crc >>> 8;
  numbers.setUint32(8 + data.length, ~crc >>> 0);
  return bytes;
}

function dataUri(blob) {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}

async function levelsOf(uri, width, height) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  const brush = Object.assign(document.createElement('canvas'), {width, height}).getContext('2d');
  brush.drawImage(image, 0, 0, width, height);
  const {data} = brush.getImageData(0, 0, width, height);
  return Uint8Array.from({length: width * height}, (_, i) => data[4 * i]);
}
