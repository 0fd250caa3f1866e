() => {  // On a narrow screen the result lies below: bring it into sight.
  const status = document.querySelector('#status');
  if (status.getBoundingClientRect().top < innerHeight - 100) return;
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
  status.scrollIntoView({block: 'start', behavior: still ? 'auto' : 'smooth'});
}
