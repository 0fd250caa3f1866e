// The attention explorer, drawn in the browser from maps as bytes. Gradio calls this text as a function with
// (element, trigger, props, server, upload, watch); all files of this folder, joined, live in its closure.
//
// A block holds all layers and words of one stream: probability = byte × scale / 255, axes (layer, word, row, column).
// Blocks are fetched once; after that no slider, word or colour asks the server for anything.

const MEAN = -1;  // on the layer slider: the best layers' mean; on the step slider: the mean over steps
const COPIED = 'copied_from';  // a "direction" with one target patch in the word's place
const KEPT = 256 * 2 ** 20;  // bytes of blocks kept
const HEAT_SIDE = 420;  // pixels of a heatmap's longer side, about; the browser smooths the rest
const TOP_WORDS = 8;
const THUMBNAILS_A_FRAME = 8;
const PLAY_MS = 450;
const DIRECTIONS = {image_to_text: say('What patches read'), text_to_image: say('Where words look')};

const find = selector => element.querySelector(selector);
const explorer = find('.explorer');

let header = null;
const view = {word: 0, layer: MEAN, step: MEAN, head: MEAN, direction: '', strip: '', opacity: 75, colours: '',
              shared: false, ranked: true, copied: false, picked: null, hovered: null};
let figures = new Map();  // stream name → the elements of its picture
let thumbnails = [];  // one button a layer, in the model's order
let rows = [];  // of the table
let playing = null;
let drawnStrip = '';
const blocks = new Map();  // key → block, the least recently fetched first
const fetching = new Map();  // key → promise of a block
const tables = new Map();  // colour map → 256 pixels
const interpolations = new Map();
