"""What the documentation shows is tried: pipelines, commands and Python blocks."""

from __future__ import annotations

import doctest
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

from medtranslate.cli import app
from medtranslate.pipeline import Pipeline, read_pipeline
from medtranslate.settings import parse_yaml, validate_settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [ROOT / "README.md", ROOT / "sample_data" / "README.md", *(ROOT / "docs").rglob("*.md")]
)
PIPELINES = sorted((ROOT / "pipelines").glob("*.yaml"))

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> Iterator[Block]:
    """Blocks of all pages in the given languages."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for found in _FENCE.finditer(text):
            if found[2] in languages:
                line = text.count("\n", 0, found.start()) + 1
                dedented = re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)
                yield Block(page, line, found[2], dedented)


def commands() -> Iterator[tuple[str, str]]:
    """Place and text of every ``medtranslate`` command line that a page shows."""
    for block in blocks("bash", "console", "sh", ""):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = line.removeprefix("$ ").strip().removeprefix(".venv/bin/")
            if words.startswith("medtranslate "):
                yield str(block), words


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """``base`` with the keys of ``change``; a part with a name of its own is taken whole."""
    result = dict(base)
    for key, value in change.items():
        nested = isinstance(value, dict) and isinstance(base.get(key), dict) and "name" not in value
        result[key] = merge(base[key], value) if nested else value
    return result


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_is_valid(path: Path) -> None:
    pipeline = read_pipeline(path)

    assert (pipeline.source == pipeline.target) == pipeline.is_progression
    assert path.read_text("utf-8").startswith("#"), "a comment says what it does and on what data"


@pytest.mark.parametrize("block", list(blocks("yaml")), ids=str)
def test_yaml_in_the_documentation_is_a_valid_pipeline_or_part_of_one(block: Block) -> None:
    shown = parse_yaml(block.text, where=str(block))
    text = (ROOT / "pipelines" / "t1w_to_t2w.yaml").read_text("utf-8")
    whole = merge(parse_yaml(text, where="t1w_to_t2w.yaml"), shown)

    assert validate_settings(Pipeline, whole, where=str(block), source=block.text)


@pytest.mark.parametrize(("place", "line"), list(commands()))
def test_a_command_in_the_documentation_exists(place: str, line: str) -> None:
    name, *arguments = shlex.split(line, comments=True)[1:]
    if name.startswith("--"):
        pytest.skip(f"{place}: an option of the program itself, not a command")
    command = typer.main.get_command(app).commands[name]

    names = {option for parameter in command.params for option in parameter.opts}
    options = {word.split("=")[0] for word in arguments if re.match("-+[a-z]", word)}

    assert options <= names | {"--help"}, place


@pytest.mark.parametrize("block", list(blocks("python")), ids=str)
def test_python_in_the_documentation_runs(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    names: dict[str, Any] = {"__name__": "__docs__"}

    examples = doctest.DocTestParser().get_doctest(block.text, names, str(block), None, 0)
    if examples.examples:
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples).failed == 0
    else:
        exec(compile(block.text, str(block), "exec"), names)
        assert len(names) > 1, "the block defines nothing"


def test_the_committed_schema_is_that_of_the_code() -> None:
    committed = json.loads((ROOT / "medtranslate" / "pipeline.schema.json").read_text("utf-8"))

    assert committed == Pipeline.model_json_schema(), "run: make schema"


def test_every_key_of_the_pipeline_file_is_described() -> None:
    schema = Pipeline.model_json_schema()
    parts = {"Pipeline": schema} | schema["$defs"]

    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, field in part.get("properties", {}).items()
        if not field.get("description") and not {"const", "$ref"} & set(field)
    ]

    assert bare == []
