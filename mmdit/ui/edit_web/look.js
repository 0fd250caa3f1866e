() => {  // Where the result lies out of sight, below the button or scrolled away: bring it there, and keep it while it comes.
  const status = document.querySelector('#status'), button = document.querySelector('#edit');
  const top = status.getBoundingClientRect().top;
  if (top >= 0 && top < button.getBoundingClientRect().bottom) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const look = behavior => status.scrollIntoView({block: 'start', behavior});
  let own = true;  // until somebody scrolls
  for (const moved of ['wheel', 'touchstart', 'keydown']) addEventListener(moved, () => { own = false; }, {once: true});
  const again = times => setTimeout(() => {
    const top = status.getBoundingClientRect().top;
    if (own && (top < 0 || top > innerHeight / 4)) look('auto');
    if (own && times > 1) again(times - 1);
  }, 800);
  look(still ? 'auto' : 'smooth');
  again(4);
}
