// Once for a page: what stands on the left of the edit tab, and in the stack. It runs in the browser, after the answer
// that it takes, so that it sees what was changed meanwhile. What `keep` has kept comes before what the newest result was
// asked for, which another browser may have been. KEPT: where the fields of `keep` stand among all.
(found, picture, stack, ...now) => {
  const read = (storage, name) => {
    try {
      return JSON.parse(storage.getItem(name));
    } catch {  // some browsers keep nothing
      return null;
    }
  };
  const loras = read(sessionStorage, 'mmdit-loras');
  if (!stack?.items.length) stack = Array.isArray(loras) ? {items: loras, notes: []} : found?.stack ?? stack;
  const said = value => value || null;  // a hidden box says null for no text
  const untouched = now.every((value, place) => said(value) === said(found?.untouched[place]));
  const asItIs = {__type__: 'update'};
  if (found && !untouched) return [stack, ...now.map(() => asItIs)];
  const options = read(localStorage, 'mmdit-options')?.[document.querySelector('.studio-header .model')?.textContent];
  return [stack, ...now.map((value, place) => {
    const kept = options?.[KEPT.indexOf(place)];
    if (kept !== undefined && typeof kept === typeof value) return kept;
    return found ? [picture, ...found.settings][place] : asItIs;
  })];
}
