// The LoRA tab's upper half: cards, the stack and its truth. Gradio calls this text as a function with (element,
// trigger, props, server, upload, watch), when the tab is first opened; cards, stack and runs live in its closure.
//
// The stack is this component's value, {items, notes}, items being {key, weight, partial, blocks, name}, and goes along
// with every edit. So no answer of the server can come too late to undo a click. Rows and cards are the server's HTML;
// only weights are drawn here.

const LOWEST = -2, HIGHEST = 2;

const find = selector => element.querySelector(selector);

let items = [];
let scope = 'fits';
const rows = new Map();  // key → its <li>, whose .told is what the server says of it
let dropped = null;  // the inspected file: {key, name}

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function commit(next, notes = []) {
  items = next;
  props.value = {items, notes};
  trigger('change');
  draw();
}

function shown(weight) {
  return String(Number(weight.toPrecision(4))).replace('-', '−');
}

function tell(place, text) {
  const news = find(place);
  news.textContent = text;
  news.hidden = !text;
}
