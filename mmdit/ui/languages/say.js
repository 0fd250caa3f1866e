// What our own scripts and templates say, in the browser's language: say('Step {step}', {step: 3}).
// The texts are those that Gradio was given for its components.
{
  const language = navigator.language.toLowerCase().split('-')[0];
  const texts = window.gradio_config.i18n_translations[language];
  document.documentElement.lang = texts ? language : 'en';
  window.say = (text, fields = {}) =>
    (texts?.[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => fields[name] ?? whole);
}
