// What stands on the left of the edit tab, whenever it changes or there is a new result: kept by this browser tab, with the
// result that was the newest then. Before `recall` has run, nothing has been left there yet.
(recent, region, ...values) => {
  if (!window.recalled) return;
  const newest = /data-name="([^"]*)"/.exec(recent)?.[1];
  const {mask = '', feather} = region ?? {};
  try {
    sessionStorage.setItem('mmdit-draft', JSON.stringify({newest, region: {mask, feather}, values}));
  } catch { /* some browsers keep nothing */ }
}
