"""The test that checks the tests, and the house rules that no other tool checks."""

from __future__ import annotations

import ast
import re
import resource
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "medtranslate"
TESTS = ROOT / "tests"

ABOUT_THE_REPOSITORY = {"test_docs", "test_house", "test_packaging"}
"""Test modules that mirror no module of the package."""

TORCH_FREE = (
    "errors", "settings", "geometry", "volume", "provenance", "io", "metrics", "report", "phantom",
    "cli", "manifest",
)  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(folder: Path) -> list[Path]:
    """Every Python file below ``folder``."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def relative(path: Path) -> str:
    """Name of a file in messages and test ids."""
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method in a module, nested ones too."""
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def called(node: ast.AST) -> str:
    """Dotted name of what a call calls, "" for anything else."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Value of a keyword argument of a call."""
    return next((word.value for word in call.keywords if word.arg == name), None)


# --- what is wrong with a test ---------------------------------------------------------------


def faults_of_tests(source: str) -> list[str]:
    """What a module of tests does that lets it pass without checking anything."""
    tree = ast.parse(source)
    checkers = {f.name for f in functions(tree) if not f.name.startswith("test_") and asserts(f)}
    faults = []
    for function in functions(tree):
        if function.name.startswith("test_") and not asserts(function, checkers):
            faults.append(f"{function.name}: asserts nothing")
        if function.name.startswith("test_") and returns_early(function):
            faults.append(f"{function.name}: 'return' where pytest.skip is meant")
    for node in ast.walk(tree):
        faults += [f"line {getattr(node, 'lineno', 0)}: {fault}" for fault in faults_of_node(node)]
    return faults


def asserts(function: Function, checkers: set[str] | None = None) -> bool:
    """Whether a function asserts, expects an error, or calls something that does."""
    for node in ast.walk(function):
        name = called(node)
        if isinstance(node, ast.Assert) or name in (checkers or set()):
            return True
        if name in {"pytest.raises", "pytest.warns", "pytest.fail"} or ".testing.assert" in name:
            return True
        if name.startswith(("assert_", "check_")):
            return True
    return False


def returns_early(function: Function) -> bool:
    """Whether a test itself, not a function inside it, returns."""
    inner = {id(n) for f in functions(function) if f is not function for n in ast.walk(f)}
    return any(isinstance(n, ast.Return) and id(n) not in inner for n in ast.walk(function))


def faults_of_node(node: ast.AST) -> Iterator[str]:
    """Statements that look like a check and are none, and skips that do not say why."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Compare):
        yield "a comparison that nobody looks at"
    if isinstance(node, ast.Assert):
        if isinstance(node.test, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.JoinedStr):
            yield "asserts a display, which is true as soon as it holds anything"
        elif isinstance(node.test, ast.Constant):
            yield "asserts a constant"
        elif is_one_sided(node.test):
            yield "a difference without abs() is below any tolerance once it is negative"
    if isinstance(node, ast.Call):
        yield from faults_of_skip(node)


def is_one_sided(test: ast.expr) -> bool:
    """Whether a test reads ``a - b < number``."""
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.left, ast.BinOp)
        and isinstance(test.left.op, ast.Sub)
        and isinstance(test.ops[0], ast.Lt | ast.LtE)
        and isinstance(test.comparators[0], ast.Constant)
    )


def faults_of_skip(call: ast.Call) -> Iterator[str]:
    """Skips and expected failures that give no reason."""
    name = called(call)
    reason = keyword(call, "reason")
    if name in {"pytest.skip", "pytest.xfail"} and not (call.args or reason):
        yield f"{name} without a reason"
    needs = {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail", "pytest.importorskip"}
    if name in needs and reason is None:
        yield f"{name} without reason="


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("x = 1", "asserts nothing"),
        ("x == 1", "nobody looks at"),
        ("assert [x == 1]", "asserts a display"),
        ("assert (x == 1, 'not one')", "asserts a display"),
        ("assert True", "asserts a constant"),
        ("assert x - y < 1e-6", "without abs"),
        ("pytest.skip()", "without a reason"),
        ("pytest.importorskip('nilearn')", "without reason="),
        ("if x:\n        return\n    assert x", "pytest.skip is meant"),
    ],
)
def test_a_test_that_checks_nothing_is_found(body: str, fault: str) -> None:
    assert any(fault in found for found in faults_of_tests(f"def test_it():\n    {body}\n"))


@pytest.mark.parametrize(
    "body",
    [
        "assert x == 1",
        "assert abs(x - y) < 1e-6",
        "np.testing.assert_allclose(x, y)",
        "with pytest.raises(ValueError, match='negative'):\n        f(-1)",
        "pytest.skip('no scans here')\n    assert x",
        "def inner():\n        return 1\n    assert inner() == 1",
    ],
)
def test_a_test_that_checks_something_passes(body: str) -> None:
    assert faults_of_tests(f"def test_it():\n    {body}\n") == []


@pytest.mark.parametrize("path", modules(TESTS), ids=relative)
def test_every_test_checks_something(path: Path) -> None:
    assert faults_of_tests(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=relative)
def test_tests_lie_where_what_they_test_lies(path: Path) -> None:
    place = path.relative_to(TESTS).with_name(path.name.removeprefix("test_"))
    is_module = (PACKAGE / place).exists() or (PACKAGE / place).with_suffix("").is_dir()
    is_of_package = path.parent != TESTS and (PACKAGE / place).parent.is_dir()
    needs_a_gpu = path.parent == TESTS / "gpu"

    assert is_module or is_of_package or needs_a_gpu or path.stem in ABOUT_THE_REPOSITORY


def test_every_part_of_the_package_is_tested() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in modules(PACKAGE)}
    tested = {path.relative_to(TESTS).parts[0] for path in TESTS.rglob("test_*.py")}

    untested = [p for p in sorted(parts) if p not in tested and f"test_{p}.py" not in tested]

    assert [part for part in untested if not part.startswith("__")] == []


# --- the package -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", modules(PACKAGE), ids=relative)
def test_a_module_keeps_the_house_rules(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    assert not list(pickles(tree))
    assert not [f"{f.name} ({size} lines)" for f in functions(tree) if (size := length(f)) > 60]
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 450
    assert path.stem not in {"utils", "util", "helpers", "common", "misc"}
    assert ast.get_docstring(tree) or path.read_text(encoding="utf-8") == ""


def pickles(tree: ast.AST) -> Iterator[str]:
    """Imports and calls through which a file could run code while it is loaded."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
            yield from names & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
        if called(node) in {"torch.save", "torch.jit.load", "pd.read_pickle"}:
            yield called(node)
        if isinstance(node, ast.Call) and called(node) == "torch.load":
            safe = keyword(node, "weights_only")
            if not (isinstance(safe, ast.Constant) and safe.value is True):
                yield "torch.load without weights_only=True"
        if isinstance(node, ast.Call) and keyword(node, "allow_pickle") is not None:
            yield f"{called(node)}(allow_pickle=...)"


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "torch.load(p, weights_only=safe)",
        "np.load(p, allow_pickle=1)",
    ],
)
def test_a_pickle_is_found(line: str) -> None:
    assert list(pickles(ast.parse(line)))


def callers(*names: str) -> list[str]:
    """Modules of the package that call one of these functions."""
    return [
        relative(path)
        for path in modules(PACKAGE)
        if any(name in (text := path.read_text("utf-8")) for name in names)
        and any(called(node) in names for node in ast.walk(ast.parse(text)))
    ]


def test_foreign_weights_come_in_one_way() -> None:
    assert callers("torch.load") == ["medtranslate/checkpoint/foreign.py"]


def test_json_comes_in_one_way() -> None:
    # The second copies plain data of ours.
    assert callers("json.load", "json.loads", "pd.read_json") == [
        "medtranslate/io/documents.py",
        "medtranslate/settings.py",
    ]


def length(function: Function) -> int:
    """Lines of a function without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_package_is_a_package() -> None:
    folders = {path.parent for path in modules(PACKAGE)}

    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_file_names_a_place_on_one_machine() -> None:
    place = re.compile(r"(?<![\w.~<>-])/(?:work|tmp|home|root|Users)/")
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    texts = [ROOT / name for name in listing.stdout.splitlines() if is_text(ROOT / name)]

    assert len(texts) > 20
    assert [relative(path) for path in texts if place.search(path.read_text("utf-8"))] == []


def is_text(path: Path) -> bool:
    """Whether a file is one that people write."""
    suffixes = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".tsv", ".csv", ".txt", ".j2", ""}
    return path.is_file() and path.suffix in suffixes


# --- what is imported when --------------------------------------------------------------------


@pytest.mark.parametrize("name", TORCH_FREE)
def test_it_is_imported_without_a_deep_learning_library(name: str) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in modules(PACKAGE)
    ]
    wanted = [n for n in names if n.split(".")[1:2] == [name]]
    program = (
        "import importlib, sys\n"
        f"for name in {wanted}:\n"
        "    importlib.import_module(name)\n"
        "    found = {'torch', 'monai', 'lightning_fabric'} & set(sys.modules)\n"
        "    if found: sys.exit(f'{name} imports {found}')\n"
    )

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert wanted
    assert result.returncode == 0, result.stderr


def processor_seconds(*arguments: str) -> float:
    """Median processor time of five runs of this Python; a busy machine does not lengthen it."""
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return statistics.median(times)


def test_help_answers_at_once() -> None:
    program = "from medtranslate.cli import main; main()"

    nothing = processor_seconds("-c", "pass")

    assert processor_seconds("-c", program, "--help") <= 20 * nothing


# --- one extra, one message -------------------------------------------------------------------


def test_a_missing_extra_is_named_as_pyproject_names_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [
        node.args[1]
        for path in modules(PACKAGE)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and called(node) == "MissingExtraError"
    ]

    assert named
    assert {ast.literal_eval(extra) for extra in named} <= set(project["optional-dependencies"])
