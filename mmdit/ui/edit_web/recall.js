// Once for a page: what stands on the left of the edit tab, and in the stack. It runs in the browser, after the answer
// that it takes, so that it sees what was changed meanwhile. What `keep` has kept comes before what the newest result was
// asked for, which another browser may have been; so does what `draft` has kept, unless there is a newer result since.
// KEPT: where the fields of `keep` stand among all.
async (found, picture, recent, stack, ...now) => {
  const read = (storage, name) => {
    try {
      return JSON.parse(storage.getItem(name));
    } catch {  // some browsers keep nothing
      return null;
    }
  };
  window.recalled = true;
  const loras = read(sessionStorage, 'mmdit-loras');
  if (!stack?.items.length) stack = Array.isArray(loras) ? {items: loras, notes: []} : found.stack ?? stack;
  const said = value => value || null;  // a hidden box says null for no text
  const untouched = now.every((value, place) => said(value) === said(found.untouched[place]));
  const asItIs = {__type__: 'update'};
  if (!untouched) return [stack, ...now.map(() => asItIs)];
  const options = read(localStorage, 'mmdit-options')?.[document.querySelector('.studio-header .model')?.textContent];
  const left = now.map((value, place) => {
    const kept = options?.[KEPT.indexOf(place)];
    if (kept !== undefined && typeof kept === typeof value) return kept;
    return found.settings ? [picture, ...found.settings][place] : asItIs;
  });
  const draft = read(sessionStorage, 'mmdit-draft');
  if (!draft || draft.newest !== /data-name="([^"]*)"/.exec(recent)?.[1]) return [stack, ...left];
  const isThere = address => fetch(address, {method: 'HEAD'}).then(answer => answer.ok, () => false);
  if (draft.picture && await isThere(draft.picture.url)) left[0] = draft.picture;
  return [stack, left[0], draft.instruction, ...left.slice(2)];
}
