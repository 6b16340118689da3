"""One spelling and no archaic or figurative words: a reader has to find a thing by its usual name."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE, DATA = {".js", ".proto", ".py", ".pyi", ".sh", ".ts"}, {".json", ".pbtxt", ".toml", ".yaml", ".yml"}
PROSE = {".css", ".html", ".md", ".svg", *CODE, *DATA}
NAMED_PROSE = {"Dockerfile", "Makefile"}
PAGES = {".css", ".html", ".js", ".ts"}
GENERATED = re.compile(r"_pb2|^docs/study/|tokenizer\.json$")
BRITISH = re.compile(
    r"colour|licence|\bgrey|[a-z]_grey|centre\b|centimetre|behaviour|neighbour|favour|honour|artefact|judgement"
    r"|labelled(?!by)|(?:recogn|normal|optim|quant|serial|standard|orthogonal|initial|summar|minim|maxim)"
    r"is(?:e[ds]?\b|ing|ation)",
    re.IGNORECASE,
)
"""Cancelled keeps its two letters, as in gRPC's CANCELLED."""
EXCEPTIONS = {
    "server/eacps/scoring/verdicts.py",  # reads both spellings
    "studio_mini/faces/swapper.py",  # names a weight as the checkpoint does
    "tests/test_words.py",
}
ARCHAIC = re.compile(r"\b(?:shall|thereof|hereby|whilst|amongst|nought)\b", re.IGNORECASE)
FIGURATIVE = re.compile(
    r"(?:^|_)(?:bell|course|laboratory|lessons|litters?|patiently|placing|shelf|sight|told|workplace|workshop)(?:$|_)"
)
OPENING = re.compile(r'"""(?:Gives?|Says?) ')
"""Of a docstring for what is returned, which "Return" says."""
LITERAL = {("studio_mini/world/shading.py", "bell")}  # the curve


def sources() -> Iterator[tuple[str, str]]:
    """Every text of the project that people write, by its path."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        path = ROOT / name
        written = path.suffix in PROSE or path.name in NAMED_PROSE
        if written and path.is_file() and not GENERATED.search(name) and name not in EXCEPTIONS:
            yield name, path.read_text(encoding="utf-8")


def found(pattern: re.Pattern[str], name: str, text: str) -> list[str]:
    return [f"{name}:{text[: one.start()].count(chr(10)) + 1}: {one.group()}" for one in pattern.finditer(text)]


def names_in(tree: ast.Module) -> set[str]:
    """Names of classes, functions, parameters and variables."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def words_of_page(text: str) -> set[str]:
    """Names of a page, of its script or its style sheet, as in `snake`; strings and comments count as well."""
    return {snake(word).replace("-", "_") for word in re.findall(r"[A-Za-z][\w-]*", text)}


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def test_spelling_is_american() -> None:
    assert [line for name, text in sources() for line in found(BRITISH, name, text)] == []


def test_words_are_in_use_today() -> None:
    assert [line for name, text in sources() for line in found(ARCHAIC, name, text)] == []


def test_docstrings_say_what_is_returned_in_one_way() -> None:
    assert [line for name, text in sources() for line in found(OPENING, name, text)] == []


def test_names_are_not_figurative() -> None:
    figurative = {
        (module, name)
        for module, text in sources()
        if module.endswith(".py") and not module.startswith("tests/")
        for name in names_in(ast.parse(text)) | {Path(module).stem}
        if FIGURATIVE.search(snake(name))
    }
    assert figurative - LITERAL == set()


def test_names_of_pages_are_not_figurative() -> None:
    figurative = {
        (page, word)
        for page, text in sources()
        if Path(page).suffix in PAGES
        for word in words_of_page(text) | {Path(page).stem}
        if FIGURATIVE.search(snake(word))
    }
    assert figurative == set()


@pytest.mark.parametrize("text", ["Colour", "the licence", "is grey", "normalised", "_dark_grey", "centre"])
def test_british_spelling_is_found(text: str) -> None:
    assert BRITISH.search(text)


@pytest.mark.parametrize("text", ["cancelled", "raised", "promise", "revised", "centered", "aria-labelledby"])
def test_other_words_are_not(text: str) -> None:
    assert not BRITISH.search(text)


def test_words_within_names_and_texts_are_found() -> None:
    assert ARCHAIC.search("It shall")
    assert not ARCHAIC.search("marshall")
    assert FIGURATIVE.search(snake("SearchWorkplace"))
    assert not FIGURATIVE.search(snake("InsightFace"))
    assert {"event_course", "shelf_view"} <= words_of_page('<p class="event-course"> shelfView()')
