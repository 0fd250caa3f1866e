"""The page's languages: German for a browser that asks for it first, English for all others.

An English text stands where it is used; `languages/de.json` has the German one under it. Who asks how:

- `mark`: texts of Gradio's components. One page is built for all, so Gradio's own i18n replaces them in the browser.
- `say`: texts that are made for a request, by a handler.
- `say` in `languages/say.js`: texts of our own scripts and templates.

What the editor itself says, such as errors and warnings, is read by programs too, and stays English.
"""

import json
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import gradio as gr
from starlette.types import ASGIApp, Receive, Scope, Send

FOLDER = Path(__file__).with_name("languages")
OTHERS = ("de",)  # beside English
_language: ContextVar[str] = ContextVar("language", default="en")


def mark(text: str) -> str:
    """A text for a component's label, info, placeholder or value, once in each; it can hold no "}"."""
    return str(gr.I18n()(text))


def say(text: str, **fields: object) -> str:
    """A text in the language of the browser that asks; in English where none does.

    Args:
        fields: what stands for ``{name}`` in the text.
    """
    said = texts(_language.get()).get(text, text)
    return said.format(**fields) if fields else said


@cache
def texts(language: str) -> dict[str, str]:
    """English text → text in a language; empty for English."""
    if language not in OTHERS:
        return {}
    return json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8"))


def translations() -> gr.I18n:
    """For the page's launch."""
    return gr.I18n(**{language: texts(language) for language in OTHERS})


def head() -> str:
    """For the page's head: `say` for scripts and templates."""
    return f"<script>{(FOLDER / 'say.js').read_text(encoding='utf-8')}</script>"


def wanted(header: str) -> str:
    """The language for an Accept-Language header, whose first language is the one that a browser is set to."""
    first = header.replace(";", ",").partition(",")[0].strip().lower().partition("-")[0]
    return first if first in OTHERS else "en"


class SpokenLanguage:
    """ASGI middleware: `say` follows the request's Accept-Language."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        before = _language.set(wanted(headers.get(b"accept-language", b"").decode("latin-1")))
        try:
            await self._app(scope, receive, send)
        finally:
            _language.reset(before)
