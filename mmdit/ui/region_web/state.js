// The region painter. Gradio calls this text as a function with (element, trigger, props, server, upload, watch); all
// files of this folder, joined, live in its closure.
//
// The server's value holds "picture" and opens it. Ours, {mask, feather}, goes back: it is set as soon as a stroke ends,
// so that whatever is pressed next takes it along; "change" is triggered a little later. All sides and places are
// pixels of the preview, unless they are called "full".

const SMALLEST = 0.004, LARGEST = 0.5;  // diameters of the brush, of the picture's longer side
const UNDOS = 40;
const CHANGE_MS = 250;
const TINT = 'rgb(236 0 140 / 40%)';

const find = selector => element.querySelector(selector);
const overlay = find('.overlay');
const mask = document.createElement('canvas');  // its alpha is the mask; strokes are painted here
const ink = mask.getContext('2d', {willReadFrequently: true});

let picture = null;  // {width, height, full: [width, height], entry}
let levels = new Uint8Array();  // the mask as it was when the last stroke ended; never written to, only replaced
let past = [], future = [];
const view = {tool: 'brush', size: 55, feather: 8};
const ofMap = {threshold: 50, smooth: 0.5, grow: 0};  // %, patches, full pixels

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function diameter() {
  const share = SMALLEST * (LARGEST / SMALLEST) ** (view.size / 100);
  return Math.max(1, share * Math.max(picture.width, picture.height));
}

function fullScale() {
  return Math.max(...picture.full) / Math.max(picture.width, picture.height);
}
