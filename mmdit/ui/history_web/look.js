() => requestAnimationFrame(() => requestAnimationFrame(() => {  // A result is on show, below all cards: bring it into sight.
  const status = document.querySelector('#history-status'), stage = document.querySelector('#history-stage');
  const isLost = document.activeElement === document.body;  // the card that had the focus has been drawn anew
  if (isLost || document.activeElement.closest('#history-gallery')) {
    stage.tabIndex = -1;
    stage.focus({preventScroll: true});
  }
  if (status.getBoundingClientRect().top >= 0 && stage.getBoundingClientRect().bottom <= innerHeight) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  status.scrollIntoView({block: 'start', behavior: still ? 'auto' : 'smooth'});
}))
