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
from eacps.manifest import BrokenRepository, Manifest, verify
from eacps.triton.installation import Check, check_installation

# What the Python models in Triton import; found, not imported, since this process does without them.
MODEL_PACKAGES = ("torch", "tokenizers", "insightface", "onnxruntime")


def examine(model_repository: Path) -> list[Check]:
    """Every check, in the order in which a newcomer would mend what fails."""
    *machine, repository = check_installation(model_repository)
    checks = [*machine, check_model_packages(), repository]
    return [*checks, check_manifest(model_repository)] if repository.ok else checks


def check_manifest(model_repository: Path) -> Check:
    """What the repository was made of, and whether its files are still those that passed the parity gate."""
    manifest = Manifest.read(model_repository)
    try:
        verify(model_repository, manifest.build if manifest else "")
    except BrokenRepository as broken:
        remedy = (
            shlex.join([sys.executable, "-m", "export", "--output", str(model_repository), "--checkpoint"]) + " ..."
        )
        return Check("manifest", False, str(broken), remedy)
    return Check("manifest", True, describe_manifest(manifest) if manifest else "")


def describe_manifest(manifest: Manifest) -> str:
    """One line: checkpoint, additions, target, precisions and the worst parity figure."""
    revision = f"@{manifest.revision[:8]}" if manifest.revision else ""
    added = "".join(f" + {name} {what}" for name, what in manifest.additions.items())
    precisions = "/".join(sorted(set(manifest.precisions.values())))
    model, error = max(manifest.worst_parity.items(), key=lambda item: item[1])
    gate = f"furthest from its original: {model}, {error:.1e}"
    return f"{manifest.checkpoint}{revision}{added}, {manifest.target} in {precisions}, build {manifest.build}; {gate}"


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
