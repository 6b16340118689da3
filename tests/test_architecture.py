"""The rules of import in docs/architecture.md, held by reading the sources and by importing them without heavy parts.

Third-party packages and parts of `eacps` that a unit may import are listed here; what is not listed is forbidden. The
standard library is free for all but the search core, which must stay pure.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import eacps

SOURCE = Path(eacps.__file__).parent
HEAVY = ("torch", "diffusers", "transformers", "insightface")
SERVER_PACKAGES = ("api", "cli", "durable", "evaluation", "scoring", "triton", "imaging", "search")
PURE_STDLIB = {
    "abc",
    "collections",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
    "statistics",
    "types",
    "typing",
}
IMPURE_BUILTINS = {"open", "print", "input", "eval", "exec", "breakpoint", "__import__"}
READS_ENVIRONMENT = {"cli", "triton", "models"}  # triton hands it on to its child; models live in another process
UNSEEDED = {"default_rng", "PCG64", "SeedSequence"}  # without an argument these read the system's entropy


@dataclass(frozen=True)
class Rule:
    """What one unit (module or package directly in `eacps`) may import beside itself.

    Args:
        units: Other units of `eacps`.
        third_party: Top-level packages.
        may_be_heavy: Whether everything installed is allowed.
    """

    units: set[str] = field(default_factory=set)
    third_party: set[str] = field(default_factory=set)
    may_be_heavy: bool = False


GRPC = {"grpc", "grpc_health", "grpc_reflection", "grpc_status", "google"}
EVALUATION = {"errors", "tensors", "imaging", "triton", "search", "scoring"}
RULES = {
    "errors": Rule(),
    "tensors": Rule(),
    "manifest": Rule(),
    "search": Rule({"errors"}, {"numpy"}),
    "imaging": Rule({"errors"}, {"numpy", "PIL"}),
    "logs": Rule(),
    "triton": Rule({"errors", "tensors"}, {"numpy", "tritonclient", "grpc", "opentelemetry"}),
    "scoring": Rule({"errors", "tensors", "imaging", "triton"}, {"numpy", "openai", "httpx2", "google"}),
    "evaluation": Rule(EVALUATION, {"numpy"}),
    "v1": Rule(set(), {"google", "grpc"}),
    "wire": Rule({"v1"}, {"google"}),
    "durable": Rule({*EVALUATION, "evaluation", "logs"}, {"sqlalchemy", "dbos", "obstore"}),
    "api": Rule({*EVALUATION, "evaluation", "durable", "v1", "wire"}, {"numpy", "opentelemetry", *GRPC}),
    "client": Rule({"v1", "wire"}, GRPC),
    "settings": Rule({"errors"}),
    "metrics": Rule({"evaluation"}, {"prometheus_client"}),
    "traces": Rule({"evaluation"}, {"opentelemetry"}),
    "assembly": Rule(
        {*EVALUATION, "evaluation", "durable", "api", "metrics", "settings", "traces"},
        {"openai", "httpx2", "google", "opentelemetry"},
    ),
    "cli": Rule(
        {*EVALUATION, "evaluation", "v1", "wire", "api", "client", "logs", "manifest", "settings", "assembly"},
        {"numpy", "PIL", "rich", "typer", *GRPC},
    ),
    "models": Rule({"errors", "manifest", "tensors"}, may_be_heavy=True),
}


def unit_of(path: Path) -> str:
    """The unit that a source file belongs to; "" for `eacps/__init__.py` itself."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py") if first != "__init__.py" else ""


def imports(tree: ast.Module, path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever in it, relative imports made absolute."""
    package = ["eacps", *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from eacps import tensors` imports a unit, `from eacps.errors import X` a name of one.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def faults(source: str, path: Path) -> list[str]:
    """Every import in ``source``, the text of the file at ``path``, that the rule of its unit forbids."""
    unit = unit_of(path)
    rule, found = RULES.get(unit, Rule()), []
    for name in imports(ast.parse(source), path):
        top, *rest = name.split(".")
        if top == "eacps":
            target = rest[0] if rest else ""
            if target in RULES and target != unit and target not in rule.units:
                found.append(f"{unit} imports eacps.{target}")
        elif top not in sys.stdlib_module_names and top not in rule.third_party and not rule.may_be_heavy:
            found.append(f"{unit} imports {top}")
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


SOURCES = sorted(SOURCE.rglob("*.py"))
ADAPTERS = sorted((Path(__file__).parents[1] / "model_repository").glob("*/1/model.py"))
SEARCH_SOURCES = [path for path in SOURCES if unit_of(path) == "search"]


def test_every_unit_has_a_rule() -> None:
    assert {unit_of(path) for path in SOURCES} - {""} <= set(RULES)


@pytest.mark.parametrize("path", [*SOURCES, *ADAPTERS], ids=str)
def test_nothing_served_imports_what_only_exporting_needs(path: Path) -> None:
    """Importing them would cost the process of every model seconds of its start, see docs/decisions/0003."""
    found = {name.partition(".")[0] for name in imports(ast.parse(path.read_text()), SOURCE / "models" / path.name)}
    assert not found & {"diffusers", "transformers"}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_inward(path: Path) -> None:
    assert faults(path.read_text(), path) == []


@pytest.mark.parametrize("unit", sorted(set(RULES) - {"models"}))
def test_no_rule_lets_the_heavy_parts_in(unit: str) -> None:
    assert not RULES[unit].third_party & set(HEAVY)
    assert "models" not in RULES[unit].units
    assert not RULES[unit].may_be_heavy


@pytest.mark.parametrize("path", SEARCH_SOURCES, ids=name_of)
def test_the_search_core_is_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    tops = {name.split(".")[0] for name in imports(tree, path)}
    assert tops & sys.stdlib_module_names <= PURE_STDLIB
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {call.func.id for call in calls if isinstance(call.func, ast.Name)} & IMPURE_BUILTINS
    unseeded = [call for call in calls if isinstance(call.func, ast.Attribute) and not call.args and not call.keywords]
    assert not {call.func.attr for call in unseeded if isinstance(call.func, ast.Attribute)} & UNSEEDED


@pytest.mark.parametrize(
    ("unit", "line", "fault"),
    [
        ("search", "import torch", "search imports torch"),
        ("search", "from eacps.scoring import Scorer", "search imports eacps.scoring"),
        ("search", "from ..triton import gateway", "search imports eacps.triton"),
        ("triton", "from eacps import imaging", "triton imports eacps.imaging"),
        ("cli", "def f():\n    import eacps.models.faces", "cli imports eacps.models"),
        ("api", "import PIL.Image", "api imports PIL"),
    ],
)
def test_the_reader_sees_forbidden_imports(unit: str, line: str, fault: str) -> None:
    assert faults(line, SOURCE / unit / "hypothetical.py") == [fault]


@pytest.mark.parametrize("path", [path for path in SOURCES if unit_of(path) not in READS_ENVIRONMENT], ids=name_of)
def test_only_the_composition_root_reads_the_environment(path: Path) -> None:
    attributes = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not attributes & {"environ", "getenv"}


IMPORT_ALL = """
import importlib, importlib.abc, pkgutil, sys
heavy, package = set(sys.argv[1].split(",")), sys.argv[2]

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in heavy:
            raise ModuleNotFoundError(f"{name} is not installed in the search server", name=name)

sys.meta_path.insert(0, Absent())
modules = [package]
root = importlib.import_module(package)
modules += [info.name for info in pkgutil.walk_packages(root.__path__, package + ".")]
for module in modules:
    if not module.endswith("__main__"):
        importlib.import_module(module)
assert not heavy & set(sys.modules)
print(len(modules))
"""


@pytest.mark.parametrize("package", SERVER_PACKAGES)
def test_the_search_server_imports_without_the_heavy_parts(package: str) -> None:
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(HEAVY), f"eacps.{package}"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 1


def test_the_import_check_bites() -> None:
    command = [sys.executable, "-c", IMPORT_ALL, "numpy", "eacps.search"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode != 0
    assert "numpy" in result.stderr
