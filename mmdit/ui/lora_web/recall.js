// Once for a page: what stands on the left of the edit tab, and in the stack. It runs in the browser, after the answer
// that it takes, so that it sees what was changed meanwhile.
(found, picture, stack, ...now) => {
  let kept = null;
  try {
    kept = JSON.parse(sessionStorage.getItem('mmdit-loras'));
  } catch { /* some browsers keep nothing */ }
  if (!stack?.items.length) stack = Array.isArray(kept) ? {items: kept, notes: []} : found?.stack ?? stack;
  const said = value => value || null;  // a hidden box says null for no text
  const untouched = now.every((value, place) => said(value) === said(found?.untouched[place]));
  const asItIs = {__type__: 'update'};
  return [stack, ...(found && untouched ? [picture, ...found.settings] : now.map(() => asItIs))];
}
