// Once for a page: what stands on the left of the edit tab, and in the stack. It runs in the browser, after the answer
// that it takes, so that it sees what was changed meanwhile. What `keep` has kept comes before what the newest result was
// asked for, which another browser may have been; so does what `draft` has kept, unless there is a newer result since.
// KEPT: where the fields of `keep` stand among all; REFERENCES: where the further pictures do.
async (found, picture, recent, region, more, stack, ...now) => {
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
  if (!untouched) return [null, asItIs, stack, ...now.map(() => asItIs)];
  const options = read(localStorage, 'mmdit-options')?.[document.querySelector('.studio-header .model')?.textContent];
  const left = now.map((value, place) => {
    const kept = options?.[KEPT.indexOf(place)];
    if (kept !== undefined && typeof kept === typeof value) return kept;
    return found.settings ? [picture, ...found.settings][place] : asItIs;
  });
  const draft = read(sessionStorage, 'mmdit-draft');
  if (draft?.newest !== /data-name="([^"]*)"/.exec(recent)?.[1] || draft?.values?.length !== now.length) {
    return [null, asItIs, stack, ...left];
  }
  const isThere = file => fetch(file.url, {method: 'HEAD'}).then(answer => answer.ok, () => false);
  draft.values.forEach((value, place) => {
    if (!KEPT.includes(place)) left[place] = value;
  });
  const [given] = draft.values;
  left[0] = given && await isThere(given) ? given : found.settings ? picture : null;
  const further = await Promise.all((left[REFERENCES] ?? []).map(async file => await isThere(file) && file));
  left[REFERENCES] = further.filter(Boolean).length ? further.filter(Boolean) : null;
  return [draft.region, {...asItIs, open: Boolean(left[REFERENCES])}, stack, ...left];
}
