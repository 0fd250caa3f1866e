// What stands in the instruction and the picture's box, whenever it changes or there is a new result: kept by this browser
// tab, with the result that was the newest then. Before `recall` has run, nothing has been left there yet.
(instruction, picture, recent) => {
  if (!window.recalled) return;
  const newest = /data-name="([^"]*)"/.exec(recent)?.[1];
  try {
    sessionStorage.setItem('mmdit-draft', JSON.stringify({instruction, picture, newest}));
  } catch { /* some browsers keep nothing */ }
}
