"""The rules of import in docs/architecture.md, held by reading the sources and by importing them without heavy parts.

Third-party packages and parts of `eacps` that a unit may import are listed here; what is not listed is forbidden. The
standard library is free for all but the search core, which must stay pure.
"""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import eacps
from eacps.models.backbones import BACKBONES

SOURCE = Path(eacps.__file__).parent
HEAVY = ("torch", "diffusers", "transformers", "insightface")
SERVER_PACKAGES = ("api", "cli", "durable", "evaluation", "scoring", "triton", "imaging", "scene", "search", "studio")
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
GENERATED = {"v1"}
DEFINED_OFTEN = {"main", "read_header", "read_source", "decoding_errors"}
"""Entry points, and a reader for each picture format."""
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
EVALUATION = {"arrays", "artifacts", "errors", "tensors", "imaging", "scene", "triton", "search", "scoring"}
RULES = {
    "errors": Rule(),
    "arrays": Rule(third_party={"numpy"}),
    "tensors": Rule(),
    "contract": Rule({"tensors"}),
    "licenses": Rule(),
    "descriptors": Rule(),
    "manifest": Rule({"licenses"}),
    "limits": Rule({"tensors", "search"}),
    "enums": Rule({"v1"}, {"google"}),
    "search": Rule({"arrays", "errors"}, {"numpy"}),
    "processes": Rule({"arrays"}, {"numpy"}),
    "imaging": Rule({"arrays", "errors", "processes"}, {"numpy", "PIL", "isal", "imagecodecs", "tifffile", "OpenEXR"}),
    "artifacts": Rule({"arrays", "imaging"}, {"numpy"}),
    "scene": Rule({"arrays", "errors", "imaging"}, {"numpy", "PIL"}),
    "logs": Rule(),
    "triton": Rule(
        {"arrays", "errors", "tensors", "contract", "scene"}, {"numpy", "tritonclient", "grpc", "opentelemetry"}
    ),
    "scoring": Rule(
        {"arrays", "errors", "tensors", "imaging", "scene", "triton"}, {"numpy", "openai", "httpx2", "google"}
    ),
    "evaluation": Rule(EVALUATION, {"numpy"}),
    "v1": Rule(set(), {"google", "grpc"}),
    "wire": Rule({"v1"}, {"google"}),
    "durable": Rule({*EVALUATION, "evaluation", "logs"}, {"sqlalchemy", "dbos", "obstore"}),
    "api": Rule(
        {*EVALUATION, "evaluation", "descriptors", "durable", "v1", "wire", "enums", "limits", "provenance"},
        {"numpy", "opentelemetry", *GRPC},
    ),
    "client": Rule({"v1", "wire", "enums", "limits"}, {"pyarrow", *GRPC}),
    "drawing": Rule({"arrays", "client", "imaging", "scene", "search"}, {"PIL", "numpy"}),
    "studio": Rule({"client", "drawing", "enums", "imaging", "limits", "v1", "wire"}, {"PIL", "starlette", *GRPC}),
    "settings": Rule({"errors"}),
    "http": Rule(
        {"client", "descriptors", "errors", "imaging", "v1"}, {"PIL", "grpc", "google", "numpy", "starlette", "uvicorn"}
    ),
    "provenance": Rule({"arrays", "errors", "processes"}, {"PIL", "c2pa", "cryptography"}),
    "mcp": Rule({"client", "enums", "imaging", "limits", "v1"}, {"mcp", "mcp_types", "pydantic", "starlette"}),
    "metrics": Rule({"errors", "evaluation"}, {"prometheus_client"}),
    "testing": Rule({"arrays", "scene", "scoring", "triton"}, {"numpy"}),
    "traces": Rule({"evaluation"}, {"opentelemetry"}),
    "assembly": Rule(
        {*EVALUATION, "evaluation", "durable", "api", "limits", "metrics", "provenance", "settings", "traces"},
        {"openai", "httpx2", "google", "opentelemetry"},
    ),
    "cli": Rule(
        {
            *{*EVALUATION, "evaluation", "v1", "wire", "api", "client", "drawing", "logs", "manifest", "settings"},
            *{"assembly", "descriptors", "enums", "http", "licenses", "limits", "mcp", "provenance", "studio"},
        },
        {"c2pa", "pyarrow", "rich", "typer", "uvloop", *GRPC},
    ),
    "__main__": Rule({"cli"}),
    "models": Rule({"arrays", "errors", "manifest", "tensors", "contract"}, may_be_heavy=True),
}


def unit_of(path: Path) -> str:
    """The unit that a source file belongs to; "" for `eacps/__init__.py` itself."""
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py") if first != "__init__.py" else ""


def imports(tree: ast.Module, path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever in it, relative imports made absolute."""
    package = ["eacps", *path.relative_to(SOURCE).parent.parts] if path.is_relative_to(SOURCE) else []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from eacps import tensors` imports a unit, `from eacps.errors import X` a name of one.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def violations(source: str, path: Path) -> list[str]:
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
    assert violations(path.read_text(), path) == []


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
    ("unit", "line", "violation"),
    [
        ("search", "import torch", "search imports torch"),
        ("search", "from eacps.scoring import Scorer", "search imports eacps.scoring"),
        ("search", "from ..triton import gateway", "search imports eacps.triton"),
        ("triton", "from eacps import imaging", "triton imports eacps.imaging"),
        ("cli", "def f():\n    import eacps.models.faces", "cli imports eacps.models"),
        ("api", "import PIL.Image", "api imports PIL"),
    ],
)
def test_the_reader_sees_forbidden_imports(unit: str, line: str, violation: str) -> None:
    assert violations(line, SOURCE / unit / "hypothetical.py") == [violation]


@pytest.mark.parametrize("path", [path for path in SOURCES if unit_of(path) not in READS_ENVIRONMENT], ids=name_of)
def test_only_the_composition_root_reads_the_environment(path: Path) -> None:
    attributes = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not attributes & {"environ", "getenv"}


def module_of(path: Path) -> str:
    """The dotted name of the module in a source file; of a package its own."""
    parts = ("eacps", *path.relative_to(SOURCE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): ast.parse(path.read_text()) for path in SOURCES}
PATHS = {module_of(path): path for path in SOURCES}


def imported_modules(module: str) -> set[str]:
    """The modules of eacps that a module imports from, wherever in it; not the packages that they lie in."""
    names = imports(MODULES[module], PATHS[module])
    found = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return found & set(MODULES) - {module}


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imported_modules(module) for module in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as exc:
        pytest.fail(" -> ".join(exc.args[1]))


def public_definitions(tree: ast.Module) -> set[str]:
    """Names of the classes, functions, constants and type aliases that a module defines for others."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and not is_type_variable(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def is_type_variable(value: ast.expr | None) -> bool:
    """Whether it is the type variable of a module's own functions, which nobody imports."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "TypeVar"


def defined_twice(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Public names with the modules that define them, where there are several."""
    places: dict[str, list[str]] = {}
    for module, tree in trees.items():
        for name in public_definitions(tree):
            places.setdefault(name, []).append(module)
    return {name: modules for name, modules in places.items() if len(modules) > 1}


def backbone_of(module: str) -> str | None:
    """The backbone in whose folder a module of the models or of the exporter lies."""
    found = re.match(r"(?:eacps\.models|export)\.backbones\.(\w+)\b", module)
    return found[1] if found and found[1] in BACKBONES else None


@pytest.mark.parametrize("process", ["server", *BACKBONES])
def test_no_public_name_has_two_meanings(process: str) -> None:
    """Among what runs in one process: the programs in Triton's processes share nothing else with the server.

    They serve one backbone.
    """
    within = {module: tree for module, tree in MODULES.items() if unit_of(PATHS[module]) not in GENERATED}
    in_models = {module for module in within if unit_of(PATHS[module]) == "models"}
    served = {module for module in in_models if backbone_of(module) in (None, process)}
    chosen = set(within) - in_models if process == "server" else served
    found = defined_twice({module: within[module] for module in chosen})
    assert {name: modules for name, modules in found.items() if name not in DEFINED_OFTEN} == {}


def test_the_reader_sees_definitions_but_no_imports() -> None:
    first = ast.parse("from x import A\nB: int = 1\ndef c(): ...\n_D = 2\nT = TypeVar('T')")
    second = ast.parse("class B: ...\nasync def c(): ...\nA, E = 1, 2\n_D = 3\nT = TypeVar('T')")
    assert public_definitions(first) == {"B", "c"}
    found = defined_twice({"first": first, "second": second})
    assert found == {"B": ["first", "second"], "c": ["first", "second"]}


def test_where_to_change_what_names_what_there_is() -> None:
    root = Path(__file__).parents[1]
    table = (root / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## Where to change what")[2]
    named = set(re.findall(r"`([\w/]+(?:/|\.py|\.proto))`", table))
    assert len(named) > 25
    assert [name for name in sorted(named) if not any((base / name).exists() for base in (SOURCE, root))] == []


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


def test_backbones_know_only_what_all_share() -> None:
    """So that a backbone is added, and removed, with its folders alone."""
    root = Path(__file__).parents[1]
    exporter = {path.relative_to(root).with_suffix(""): path for path in (root / "export").rglob("*.py")}
    paths = PATHS | {".".join(name.parts): path for name, path in exporter.items()}
    found = [
        f"{module} imports {name}"
        for module, path in paths.items()
        for name in imports(ast.parse(path.read_text(encoding="utf-8")), path)
        if (other := backbone_of(name)) and other != backbone_of(module)
    ]
    assert found == []
