"""What a person gets who installs the wheel, and the pins it is tested with."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest
import typer

import medtranslate
from medtranslate.cli import app
from medtranslate.cli.output import ExitCode

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout without asking a package index."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "checkout"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "medtranslate", copy / "medtranslate", ignore=ignore, symlinks=True)
    shutil.copytree(ROOT / "pipelines", copy / "pipelines")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the installed wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments: str) -> None:
    """Run pip without network."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", *arguments, "--no-index"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        pytest.fail(f"{' '.join(command)}\n{result.stdout}\n{result.stderr}")


def run_installed(installed: Path, program: str) -> str:
    """What a program prints that finds medtranslate only in ``installed``."""
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=installed,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def test_the_wheel_holds_every_module_and_every_static_file(wheel: Path) -> None:
    names = set(ZipFile(wheel).namelist())
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "medtranslate").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    pipelines = {f"medtranslate/{p.relative_to(ROOT)}" for p in (ROOT / "pipelines").glob("*.yaml")}

    assert len(pipelines) >= 4
    assert package | pipelines <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"medtranslate"}


def test_the_installed_wheel_prints_the_committed_schema(installed: Path) -> None:
    printed = run_installed(
        installed,
        "import sys; sys.argv = ['medtranslate', 'schema']\n"
        "import medtranslate; print(medtranslate.__file__, file=sys.stderr)\n"
        "from medtranslate.cli import main; main()",
    )

    committed = (ROOT / "medtranslate" / "pipeline.schema.json").read_text("utf-8")
    assert json.loads(printed) == json.loads(committed)


def test_the_installed_wheel_brings_its_pipelines(installed: Path) -> None:
    printed = run_installed(
        installed,
        "import medtranslate, pathlib\n"
        "folder = pathlib.Path(medtranslate.__file__).parent / 'pipelines'\n"
        "print(*sorted(path.name for path in folder.iterdir()), sep='\\n')",
    )

    assert printed.split() == sorted(path.name for path in (ROOT / "pipelines").glob("*.yaml"))


def normalise(name: str) -> str:
    """A project name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """Project name to version in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {normalise(name): version for name, version in pairs}


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {normalise(re.split(r"[\[<>=!~; ]", line)[0]) for group in groups for line in group}

    assert wanted <= set(pins())


def test_a_pin_is_a_name_and_a_version() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()

    odd = [n for n in lines if not n.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.]+", n)]

    assert odd == []
    assert pins()["torch"] == "2.13.0"
    assert pins()["monai"] == "1.6.1"


def test_extras_that_a_message_may_name_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    assert {"cluster", "dicom", "web", "onnx", "openvino", "docs", "dev", "phantom"} == set(
        project["optional-dependencies"]
    )


def test_the_boutiques_descriptor_fits_the_command() -> None:
    """What bosh accepts, and what the command takes and leaves with."""
    boutiques = pytest.importorskip("boutiques", reason="the extra 'dev' brings boutiques")
    path = ROOT / "medtranslate" / "boutiques.json"
    descriptor = json.loads(path.read_text("utf-8"))
    command = typer.main.get_command(app).commands["bids"]
    options = {part.opts[0] for part in command.params if part.opts[0].startswith("--")}
    flags = {part.get("command-line-flag") for part in descriptor["inputs"]} - {None}

    boutiques.validate(str(path))

    assert flags == options
    assert descriptor["tool-version"] == medtranslate.__version__
    codes = {entry["code"] for entry in descriptor["error-codes"]}
    assert codes == {int(code) for code in ExitCode} - {ExitCode.DONE}


def test_the_boutiques_descriptor_builds_a_call_of_the_command(tmp_path: Path) -> None:
    boutiques = pytest.importorskip("boutiques", reason="the extra 'dev' brings boutiques")
    choices = {"bids_dir": "in", "out_dir": "out", "model": "m", "participant_label": ["01", "02"]}
    (tmp_path / "call.json").write_text(json.dumps(choices))

    descriptor = str(ROOT / "medtranslate" / "boutiques.json")
    simulated = boutiques.execute("simulate", descriptor, "-i", str(tmp_path / "call.json"))

    written = "medtranslate bids in out participant --model m --participant-label 01 02"
    assert simulated.stdout.strip() == written


def test_ci_runs_the_tests_and_the_checks() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert "make test check" in script.read_text("utf-8")
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
