// What the options ask for, whenever one changes: kept by this browser, for each model on its own.
(...asked) => {
  try {
    const kept = JSON.parse(localStorage.getItem('mmdit-options')) ?? {};
    kept[document.querySelector('.studio-header .model')?.textContent] = asked;
    localStorage.setItem('mmdit-options', JSON.stringify(kept));
  } catch { /* some browsers keep nothing */ }
}
