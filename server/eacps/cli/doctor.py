"""``eacps doctor``: checks what the embedded Triton needs on this machine, and prints a command for what is missing."""

import importlib.util
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from eacps.cli.exit_codes import ExitCode
from eacps.cli.streams import print_json
from eacps.licenses import business_use
from eacps.manifest import BrokenRepository, CalibrationRecord, Manifest, verify
from eacps.tensors import FACE_SWAPPER, FACE_VERIFIER, JUDGE_NETWORK, VLM_JUDGE
from eacps.triton.installation import Check, check_installation

NOTES = ("calibration", "licenses")
IDENTITY_SCORERS = ("identity", "identity_heldout")
# What the Python models in Triton import. They are looked for and not imported: this process does not need them.
MODEL_PACKAGES = ("torch", "tokenizers", "insightface", "onnxruntime")


def examine(model_repository: Path) -> list[Check]:
    """Run all checks, in the order in which a newcomer would fix what fails."""
    *machine, repository = check_installation(model_repository)
    checks = [*machine, check_model_packages(), repository]
    if not repository.ok:
        return checks
    manifest = Manifest.read(model_repository)
    return [*checks, check_manifest(model_repository), *(_notes(manifest) if manifest else [])]


def _notes(manifest: Manifest) -> list[Check]:
    """What a repository's users must know, and nothing that they would have to mend."""
    return [check_calibration(manifest), Check("licenses", True, str(business_use(manifest.licenses)))]


def check_manifest(model_repository: Path) -> Check:
    """Check what the repository was made of, and that its files are still those that passed the parity gate."""
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
    """One line: checkpoint, additions, target, precisions, what is left out, and the worst parity figure."""
    revision = f"@{manifest.revision[:8]}" if manifest.revision else ""
    added = "".join(f" + {name} {what}" for name, what in manifest.additions.items())
    precisions = "/".join(sorted(set(manifest.precisions.values())))
    model, error = max(manifest.worst_parity.items(), key=lambda item: item[1])
    gate = f"furthest from its original: {model}, {error:.1e}"
    optional = {FACE_SWAPPER: "no face swapper", VLM_JUDGE: "no judge"}
    lacking = "".join(f", {words}" for spec, words in optional.items() if spec.name not in manifest.models)
    judge = ", with a judge of its own" if JUDGE_NETWORK in manifest.models else ""
    made_of = f"{manifest.checkpoint}{revision}{added}{judge}{lacking}, {manifest.target} in {precisions}"
    return f"{made_of}, build {manifest.build}; {gate}"


def check_calibration(manifest: Manifest) -> Check:
    """Return the scale of the identity scores: the meaning of a cosine depends on the recognizer."""
    shown = [
        f"{name} {_scale_in_words(record)}"
        for name, record in manifest.calibration.items()
        if name == "identity" or (name == "identity_heldout" and FACE_VERIFIER.name in manifest.models)
    ]
    left_out = [name for name, record in manifest.calibration.items() if record.reason and name not in IDENTITY_SCORERS]
    return Check("calibration", True, "; ".join([*shown, *([f"without {', '.join(left_out)}"] if left_out else [])]))


def _scale_in_words(record: CalibrationRecord) -> str:
    if record.zero is None or record.one is None:
        return f"is the raw cosine ({record.reason}; python -m export.calibrate measures a scale)"
    return f"runs from {record.zero:.3f} (0) to {record.one:.3f} (1)"


def check_model_packages() -> Check:
    """Check that the packages of the extra ``triton`` are installed."""
    missing = [name for name in MODEL_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        remedy = shlex.join([sys.executable, "-m", "pip", "install", ".[triton]"])
        return Check("model packages", False, f"not installed: {', '.join(missing)}", remedy)
    return Check("model packages", True, ", ".join(MODEL_PACKAGES))


def report(checks: list[Check], console: Console, *, as_json: bool) -> ExitCode:
    """Print the checks; on standard output as JSON, or as a table.

    Args:
        checks: Results.
        console: Standard output.
        as_json: Print JSON instead of a table.
    """
    well = all(check.ok for check in checks)
    if as_json:
        plain = [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        print_json({"ok": well, "checks": plain})
    else:
        console.print(_table(checks))
        console.print("[green]everything is in place[/]" if well else "[red]the embedded Triton cannot run here yet[/]")
    return ExitCode.OK if well else ExitCode.INSTALLATION


def _table(checks: list[Check]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for check in checks:
        mark = "[cyan]note[/]" if check.name in NOTES else "[green]ok[/]" if check.ok else "[red]missing[/]"
        table.add_row(mark, check.name, escape(check.detail))
        if not check.ok:
            table.add_row("", "", f"[bold]fix it with:[/] {escape(check.remedy)}")
    return table
