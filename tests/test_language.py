"""The page in two languages: the catalogue is whole, and each browser reads its own.

What a German page has to say is derived from the English one by the catalogue, text by text.
"""

import ast
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from string import Formatter

import pytest
from test_page import PATIENCE, Studio, make_one, photograph_file, running_studio  # noqa: F401 (a fixture)

from mmdit.catalog import CATALOG
from mmdit.families.listing import COLUMNS, describe_machine, model_rows
from mmdit.families.machine import PACKAGES, Machine
from mmdit.ui import history_markup, language, model_markup, request_fields

UI = Path(language.__file__).parent
GERMAN = language.texts("de")
READ = """leftOut => {
  const all = [];
  const own = of => of.closest('gradio-app') && !of.closest(leftOut) && of.checkVisibility({visibilityProperty: true});
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    if (node.textContent.trim() && own(node.parentElement)) all.push(node.textContent.trim());
  }
  for (const of of document.querySelectorAll('[placeholder], [aria-label], [title], [alt]')) {
    if (own(of)) all.push(...['placeholder', 'aria-label', 'title', 'alt'].map(name => of.getAttribute(name)));
  }
  return all.filter(Boolean);
}"""
LEFT_OUT = (
    "footer, style, script, #source .image-container, #references, #history-open button, .overflow-menu, "
    "[data-testid='status-tracker'], [aria-label^='number input for'], [aria-label^='range slider for'], "
    "#models td:nth-child(5)"
)
"""Gradio's own words, which it says in many languages; and what fits in memory, which changes at any time."""


# ---- the catalogue


def parsed() -> Iterator[ast.AST]:
    for file in UI.glob("*.py"):
        yield from ast.walk(ast.parse(file.read_text(encoding="utf-8")))


def said() -> set[str]:
    """What is handed to `say` and `mark`, as far as it stands there."""
    texts = set()
    for node in parsed():
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("say", "mark"):
            text = node.args[0]
            either = [text.body, text.orelse] if isinstance(text, ast.IfExp) else [text]
            texts |= {of.value for of in either if isinstance(of, ast.Constant)}
    for file in (file for kind in ("js", "html") for file in UI.glob(f"*_web/*.{kind}")):
        texts |= set(re.findall(r"\bsay\('([^']*)'", file.read_text(encoding="utf-8")))
    return texts


def said_of_models() -> set[str]:
    """Headings and cells of the table of models, on machines of many kinds."""
    kinds = (
        ("cpu", 0, 8),
        ("cpu", 0, 200),
        ("cuda", 90, 200),
        ("cuda", 24, 200),
        ("cuda", 24, 20),
        ("cuda", 12, 32),
        ("cuda", 4, 4),
    )
    machines = [
        Machine(device, gpu * 10**9, gpu * 10**9, system * 10**9, system * 10**9, 10**11, frozenset(PACKAGES))
        for device, gpu, system in kinds
    ]
    cells = {describe_machine(machine, Path("/kept here")) for machine in machines}
    for machine in machines:
        for _, task, _, *rest in model_rows(CATALOG.values(), machine, Path("/kept here")):
            cells |= {task, *rest}
    listed = {model_markup.VALUES.sub("{}", cell) for cell in cells} - {"{}"}
    return listed | {column.capitalize() for column in COLUMNS} | {"yes", "missing", "partly: {} of {}"}


def fields(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def test_every_text_is_in_the_catalogue() -> None:
    assert said() - set(GERMAN) == set()
    choices = {text for text, _ in request_fields.REASONING + request_fields.GUARD}
    assert said_of_models() | set(history_markup.NAMES.values()) | choices <= set(GERMAN)


def test_every_entry_of_the_catalogue_is_used() -> None:
    literals = {node.value for node in parsed() if isinstance(node, ast.Constant)}
    assert set(GERMAN) - said() - said_of_models() - literals == {"edited picture", "given picture"}


def test_both_languages_have_the_same_fields() -> None:
    assert {text: fields(text) for text in GERMAN} == {text: fields(german) for text, german in GERMAN.items()}


def test_nothing_in_the_catalogue_ends_an_attribute_or_begins_a_tag() -> None:
    assert [german for german in GERMAN.values() if re.search(r"""["<>&]""", german) or not german.strip()] == []


def test_no_mark_has_a_brace_which_would_end_it() -> None:
    marked = (node for node in parsed() if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "mark")
    assert [node.args[0].value for node in marked if "}" in node.args[0].value] == []


@pytest.mark.parametrize(
    ("header", "language_wanted"),
    [
        ("de", "de"), ("de-AT,de;q=0.9,en;q=0.8", "de"), ("DE-de", "de"), ("en-US,en;q=0.9,de;q=0.8", "en"),
        ("fr-FR,de;q=0.9", "en"), ("", "en"), ("*", "en"), ("den", "en"), (";;,", "en"),
    ],
)  # fmt: skip
def test_the_first_language_of_a_browser_counts(header: str, language_wanted: str) -> None:
    assert language.wanted(header) == language_wanted


def test_without_a_browser_it_is_english() -> None:
    assert language.say("Step {step} of {steps}", step=1, steps="{x}") == "Step 1 of {x}"


def test_our_own_parts_of_the_page_stay_light() -> None:
    parts = [UI / "style.css", *UI.glob("*_web/*"), *(UI / "languages").iterdir()]
    assert sum(part.stat().st_size for part in parts) <= 300_000


# ---- the page


def in_german(text: str) -> str:
    """What the catalogue makes of an English text of the page: an entry, one with its fields filled in, or several."""
    if text in GERMAN:
        return GERMAN[text]
    if date := DATE.search(text):
        made = datetime.strptime(date[0], WHEN).strftime(GERMAN[WHEN])
        return in_german(text.replace(date[0], made))
    capital = GERMAN.get(text[:1].upper() + text[1:])
    if capital is not None:
        return capital[0].lower() + capital[1:]
    if (listed := model_markup.VALUES.sub("{}", text)) in GERMAN:
        return GERMAN[listed].format(*model_markup.VALUES.findall(text))
    if ";" in text:
        return "; ".join(map(in_german, text.split("; ")))
    for english, german in PATTERNS:
        if found := english.fullmatch(text):
            return german.format(**{name: in_german(part) for name, part in found.groupdict().items()})
    for joint, between in ((" · ", " · "), (r"(?<=[.…]) ", " "), (": ", ": ")):
        if len(parts := re.split(joint, text)) > 1:
            return between.join(map(in_german, parts))
    return text


def pattern(english: str) -> re.Pattern:
    """Matches the text with its fields filled in; what is counted is a number, perhaps with a unit."""

    def field(found: re.Match) -> str:
        value = r"[\d–.]+(?: .B)?" if found[1] in COUNTED else ".+"
        return f"(?P<{found[1]}>{value})"

    return re.compile(re.sub(r"\\\{(\w+)\\\}", field, re.escape(english)))


WHEN, DATE = "%d %b %Y, %H:%M", re.compile(r"\d\d \w{3} \d{4}, \d\d:\d\d")
COUNTED = ("step", "steps", "count", "number", "seed", "seconds")
PATTERNS = [
    (pattern(english), german)
    for english, german in sorted(GERMAN.items(), key=lambda entry: -len(entry[0]))
    if re.search(r"\{\w+\}", english)
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with running_studio(tmp_path_factory.mktemp("studio") / "outputs") as studio:
        yield studio


def opened(browser, studio: Studio, locale: str):
    page = browser.new_context(locale=locale, viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda message: message.type == "error" and studio.complaints.append(message.text))
    page.goto(studio.address)
    page.wait_for_selector("#edit")
    return page


def settled(page) -> set[str]:
    """What the open tab says, once that stays the same."""
    before = None
    while (now := page.evaluate(READ, LEFT_OUT)) != before:
        before = now
        page.wait_for_timeout(700)
    return {re.sub(r"[\d.]+ GB", "1 GB", text) for text in now}  # what is free changes


def visit(page) -> dict[str, set[str]]:
    """What each tab says, with a result on it and everything open."""
    tabs = page.locator("[role=tablist]:visible > button")
    page.click("#recent button >> nth=0")
    page.wait_for_selector("#stage .compare")
    for accordion in ("#more-pictures", "#part", "#options", "#abilities"):
        page.click(f"{accordion} > button")
    page.wait_for_selector("#region .painter:visible")
    page.wait_for_selector("#steps input[type=number]")
    read = {"edit": settled(page)}
    tabs.nth(1).click()
    page.click("#loras .card >> nth=0")
    page.wait_for_selector("#loras .row .facts")
    read["loras"] = settled(page)
    tabs.nth(2).click()
    page.wait_for_selector("#explorer .explorer[aria-busy=false]:visible")
    read["inside"] = settled(page)
    tabs.nth(3).click()
    page.click("#history-gallery button >> nth=0")
    page.wait_for_selector("#history-details table")
    read["history"] = settled(page)
    tabs.nth(4).click()
    page.wait_for_selector("#models tbody tr")
    page.fill("#model-name input, #model-name textarea", "flux-kontext")
    page.wait_for_selector("#model-terms p")
    read["model"] = settled(page)
    return read


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.shipped
def test_each_browser_reads_its_own_language(browser, studio: Studio, photograph_file: Path) -> None:  # noqa: F811
    english, german, french = (opened(browser, studio, locale) for locale in ("en-US", "de-DE", "fr-FR"))
    german.wait_for_selector("#source :text('Bild hier ablegen')")
    make_one(english, studio, photograph_file, "make it sepia")
    for page in (english, german, french):  # the model has been loaded meanwhile
        page.reload()
        page.wait_for_function("typeof say === 'function'")
    languages = [page.evaluate("document.documentElement.lang") for page in (english, german, french)]
    assert languages == ["en", "de", "en"]
    expected, found = visit(english), visit(german)
    translated = {text for text, other in GERMAN.items() if text != other}
    for tab, texts in expected.items():
        assert {in_german(text) for text in texts} == found[tab]
        assert found[tab] & translated == set()
        assert len(texts & set(GERMAN)) >= 10
    assert visit(french) == expected
    assert studio.complaints == []
