() => {  // Where the result lies below the button, on a narrow screen: bring it into sight.
  const status = document.querySelector('#status'), button = document.querySelector('#edit');
  if (status.getBoundingClientRect().top < button.getBoundingClientRect().bottom) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  status.scrollIntoView({block: 'start', behavior: still ? 'auto' : 'smooth'});
}
