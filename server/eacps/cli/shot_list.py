"""Reads a list of shots: CSV, JSON lines, Parquet, or the files of a folder that match a pattern.

Columns are the arguments and options of ``eacps search``, written as there: ``scene``, ``character``, ``prompt``,
``trajectories``, ``scene-face`` (``scene_face`` will do) and so on; beside them ``shot`` (by default the scene's name),
``priority`` and ``label.KEY``. Paths are relative to the list. An option that may be repeated takes a list in JSON, or
texts separated by ``;``. The command line's own parser reads every row, so that a value means the same in both.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eacps.cli.exit_codes import ExitCode
from eacps.cli.files import read_file
from eacps.cli.groups import grouped
from eacps.cli.outcome import CommandFailed
from eacps.cli.request import build_request
from eacps.cli.request_options import REQUEST_OPTIONS
from eacps.client import Shot
from eacps.client.shots import named_by_content
from eacps.wire import images_in

ShotRow = dict[str, Any]
SHOT, PRIORITY, LABEL = "shot", "priority", "label."
_ARGUMENTS = ("scene", "character")
_FILES = ("scene", "character", "mask", "more_character", "reference")
_MAY_BE_FILES = ("scene_face", "character_face", "prior")
_TRUE, _FALSE = ("true", "yes", "1", "on"), ("false", "no", "0", "off")


@dataclass(frozen=True)
class ShotList:
    """Where shots are listed.

    Args:
        source: File, or folder.
        pattern: Of a folder: path of a scene within it, ``{shot}`` standing for the shot's name.
        defaults: Values of columns that a row lacks or leaves empty; ``{shot}`` stands for the shot's name, and
            ``@PATH`` for the text of a file.
    """

    source: Path
    pattern: str
    defaults: Mapping[str, str]

    def shots(self) -> list[Shot]:
        """Read all shots.

        Raises:
            CommandFailed: Names every error of every row.
        """
        base = self.source if self.source.is_dir() else self.source.parent
        rows = list(self._rows())
        if not rows:
            raise CommandFailed(f"{self.source} lists no shots", ExitCode.REQUEST, code="NO_SHOTS")
        shots: list[Shot] = []
        violations: list[tuple[str, str]] = []
        for row_name, row in rows:
            try:
                shots.append(_shot_of(_completed(row, self.defaults, base), base))
            except _RowError as exc:
                violations.append((row_name, str(exc)))
            except CommandFailed as exc:
                violations += [(row_name, text) for _, text in exc.violations] or [(row_name, exc.message)]
        if violations:
            raise CommandFailed(
                "the list has invalid shots", ExitCode.REQUEST, code="SHOTS", violations=tuple(violations)
            )
        return shots

    def _rows(self) -> Iterator[tuple[str, ShotRow]]:
        """Yield each row and its row_name in the list, for messages."""
        if self.source.is_dir():
            yield from _of_folder(self.source, self.pattern)
            return
        kind = self.source.suffix.lower()
        readers: dict[str, Callable[[Path], Iterable[ShotRow]]] = {
            ".csv": _of_csv,
            ".jsonl": _of_json_lines,
            ".ndjson": _of_json_lines,
            ".parquet": _of_parquet,
        }
        if kind not in readers:
            message = f"{self.source} is neither a folder nor a list: .csv, .jsonl or .parquet"
            raise CommandFailed(message, ExitCode.REQUEST, code="SHOTS")
        for number, row in enumerate(readers[kind](self.source), start=1):
            yield f"row {number}", {str(key).strip(): value for key, value in row.items() if key is not None}


class _RowError(Exception):
    """A row cannot be read."""


def _text(path: Path) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise CommandFailed(f"{path} is not UTF-8", ExitCode.REQUEST, code="UNREADABLE_FILE") from exc


def _of_csv(path: Path) -> Iterable[ShotRow]:
    text = _text(path)
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)  # spreadsheets of many countries write semicolons
    rows = csv.DictReader(io.StringIO(text), delimiter=delimiter)
    for row in rows:
        if row.pop(None, None):  # where DictReader puts the cells that are left
            message = (
                f"{path}, line {rows.line_num}: has more cells than the header; put text with {delimiter!r} in quotes"
            )
            raise CommandFailed(message, ExitCode.REQUEST, code="SHOTS")
        if any(row.values()):
            yield row


def _of_json_lines(path: Path) -> Iterable[ShotRow]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise CommandFailed(f"{path}, line {number}: {exc}", ExitCode.REQUEST, code="SHOTS") from exc
        if not isinstance(row, dict):
            raise CommandFailed(f"{path}, line {number}: is not a JSON object", ExitCode.REQUEST, code="SHOTS")
        yield row


def _of_parquet(path: Path) -> Iterable[ShotRow]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as exc:
        message = "Parquet needs pyarrow: pip install 'eacps[parquet]'"
        raise CommandFailed(message, ExitCode.INSTALLATION, code="NO_PYARROW") from exc
    try:
        rows: list[ShotRow] = pyarrow.parquet.read_table(io.BytesIO(read_file(path))).to_pylist()
    except pyarrow.ArrowException as exc:
        raise CommandFailed(f"{path}: {exc}", ExitCode.REQUEST, code="SHOTS") from exc
    return rows


def _of_folder(folder: Path, pattern: str) -> Iterator[tuple[str, ShotRow]]:
    if pattern.count("{shot}") != 1:
        raise CommandFailed(f"--pattern {pattern!r} must contain {{shot}} once", ExitCode.REQUEST, code="PATTERN")
    before, after = (re.escape(part) for part in pattern.split("{shot}"))
    named = re.compile(f"{before}(?P<shot>.+){after}".replace(r"\*", "[^/]*"))
    for scene in sorted(folder.glob(pattern.replace("{shot}", "*"))):
        if scene.is_file() and (found := named.fullmatch(scene.relative_to(folder).as_posix())):
            yield str(scene), {SHOT: found["shot"], "scene": scene.relative_to(folder).as_posix()}


def _completed(row: ShotRow, defaults: Mapping[str, str], base: Path) -> ShotRow:
    """Return a row with its name, and with defaults where it says nothing."""
    given = {key.replace("-", "_") if not key.startswith(LABEL) else key: value for key, value in row.items()}
    given = {key: value for key, value in given.items() if value is not None and value != ""}
    if SHOT not in given and "scene" in given:
        given[SHOT] = Path(str(given["scene"])).stem
    name = str(given.get(SHOT, ""))
    for option, value in defaults.items():
        key = option if option.startswith(LABEL) else option.replace("-", "_")
        if key in given:
            continue
        filled = value.replace("{shot}", name)
        given[key] = _text(base / filled[1:]).strip() if filled.startswith("@") else filled
    return given


def _shot_of(row: ShotRow, base: Path) -> Shot:
    labels = {key.removeprefix(LABEL): _plain(row.pop(key)) for key in list(row) if key.startswith(LABEL)}
    name, priority = _plain(row.pop(SHOT, "")), row.pop(PRIORITY, None)
    if not name:
        raise _RowError("has neither a shot nor a scene")
    if lacking := [column for column in (*_ARGUMENTS, "prompt") if column not in row]:
        raise _RowError(f"lacks {', '.join(lacking)}")
    if unknown := sorted(row.keys() - REQUEST_OPTIONS.parameters.keys()):
        raise _RowError(f"has an unknown column {unknown[0]!r}")
    request = build_request(_parsed(_words(row, base)))
    request.labels.update(labels)
    if priority is not None:
        if not (text := _plain(priority)).isdecimal():
            raise _RowError(f"priority {text!r} is no whole number")
        request.priority = int(text)
    return _light(Shot(name, request), [Path(text) for column, text in _named_files(row, base)])


def _named_files(row: ShotRow, base: Path) -> Iterator[tuple[str, str]]:
    """Yield the columns that name files, and the files."""
    for column, value in row.items():
        if column in (*_FILES, *_MAY_BE_FILES):
            yield from ((column, _located(column, text, base)) for text in _texts(column, value))


def _light(shot: Shot, paths: Sequence[Path]) -> Shot:
    """Return a shot that names its pictures by hash, and knows their files: only one shot's are in memory at once."""
    bare, files = named_by_content(shot.request), dict[str, Path]()
    for (_, image), (_, named) in zip(images_in(shot.request), images_in(bare), strict=True):
        if not image.data:
            continue
        size = len(image.data)
        same = (path for path in paths if path.is_file() and path.stat().st_size == size)
        if (path := next((path for path in same if path.read_bytes() == image.data), None)) is None:  # of a pipe
            named.CopyFrom(image)
        else:
            files[named.artifact] = path
    return Shot(shot.name, bare, files)


def _words(row: ShotRow, base: Path) -> list[str]:
    """Return a row as words of the command line."""
    words: list[str] = []
    for column, value in row.items():
        texts = [_located(column, text, base) for text in _texts(column, value)]
        if column in _ARGUMENTS:
            continue
        flag = f"--{column.replace('_', '-')}"
        if REQUEST_OPTIONS.parameters[column].annotation.__args__[0] == (bool | None):
            words.append(_switch(flag, texts[0]))
            continue
        words += [f"{flag}={text}" for text in texts]
    arguments = [_located(column, _plain(row[column]), base) for column in _ARGUMENTS]
    return [*words, "--", *arguments]


def _switch(flag: str, text: str) -> str:
    if text.lower() in _TRUE:
        return flag
    if text.lower() in _FALSE:
        return flag.replace("--", "--no-", 1)
    raise _RowError(f"{flag.removeprefix('--')} {text!r} is neither true nor false")


def _texts(column: str, value: Any) -> Sequence[str]:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    repeated = REQUEST_OPTIONS.parameters[column].default == []
    return [part.strip() for part in str(value).split(";") if part.strip()] if repeated else [_plain(value)]


def _plain(value: Any) -> str:
    """Return a value of a cell as text; whole numbers that a table holds as floats without their point."""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text.strip() or text  # one space is a negative prompt


def _located(column: str, text: str, base: Path) -> str:
    if column in _FILES:
        return str(base / text)
    if column in _MAY_BE_FILES and (base / text).is_file():
        return str(base / text)
    return text


def _search(asked: Any = REQUEST_OPTIONS) -> None:
    """Stand for a command with the options of a search."""


def _parsed(words: list[str]) -> Any:
    """Read words as ``eacps search`` reads them."""
    import typer

    reader = typer.Typer(add_completion=False)
    reader.command()(grouped(_search))
    try:
        context = typer.main.get_command(reader).make_context("search", words)
    except typer.exceptions.TyperException as exc:
        raise _RowError(exc.format_message()) from exc
    return REQUEST_OPTIONS.gather({name: context.params[name] for name in REQUEST_OPTIONS.parameters})
