// What our own scripts and templates say, in the browser's language: say('Step {step}', {step: 3}).
// The texts are those that Gradio was given for its components.
{
  const language = navigator.language.toLowerCase().split('-')[0];
  const texts = window.gradio_config.i18n_translations[language];
  const page = document.documentElement, spoken = texts ? language : 'en';
  const tell = () => page.lang === spoken || (page.lang = spoken);
  new MutationObserver(tell).observe(page, {attributeFilter: ['lang']});  // Gradio writes the browser's, later
  tell();
  window.say = (text, fields = {}) =>
    (texts?.[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
}
