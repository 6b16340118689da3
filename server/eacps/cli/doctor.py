"""``eacps doctor``: what the embedded Triton needs on this machine, and the command that mends what is missing."""

import importlib.util
import json
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eacps.cli.exit_codes import ExitCode
from eacps.triton.installation import Check, check_installation

# What the Python models in Triton import; found, not imported, since this process does without them.
MODEL_PACKAGES = ("torch", "tokenizers", "insightface", "onnxruntime")


def examine(model_repository: Path) -> list[Check]:
    """Every check, in the order in which a newcomer would mend what fails."""
    *machine, repository = check_installation(model_repository)
    return [*machine, check_model_packages(), repository]


def check_model_packages() -> Check:
    """The packages of the extra ``triton``."""
    missing = [name for name in MODEL_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        remedy = shlex.join([sys.executable, "-m", "pip", "install", ".[triton]"])
        return Check("model packages", False, f"not installed: {', '.join(missing)}", remedy)
    return Check("model packages", True, ", ".join(MODEL_PACKAGES))


def report(checks: list[Check], console: Console, *, as_json: bool) -> ExitCode:
    """Print the checks; on standard output as JSON, or as a table.

    Args:
        checks: What was examined.
        console: Standard output.
        as_json: As JSON.
    """
    well = all(check.ok for check in checks)
    if as_json:
        plain = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        print(json.dumps({"ok": well, "checks": plain}))
    else:
        console.print(_table(checks))
        console.print("[green]all is well[/]" if well else "[red]the embedded Triton cannot run here yet[/]")
    return ExitCode.OK if well else ExitCode.INSTALLATION


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        table.add_row("[green]ok[/]" if check.ok else "[red]missing[/]", check.name, escape(check.detail))
        if not check.ok:
            table.add_row("", "", f"[bold]mend it with:[/] {escape(check.remedy)}")
    return table
