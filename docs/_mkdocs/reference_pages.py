"""Reference pages made from the code: the command line, the pipeline file, the Python modules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.testing import CliRunner

from medtranslate import cli

PACKAGE = Path(__file__).resolve().parents[2] / "medtranslate"


STYLE = ".md-typeset td code { word-break: normal; white-space: nowrap; }"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Called by MkDocs first: lists the packages under Reference, and the decision records."""
    records = sorted(Path(config.docs_dir).glob("decisions/[0-9]*.md"))
    for section in config.nav or []:
        if "Decisions" in section:
            section["Decisions"] += [f"decisions/{record.name}" for record in records]
        if "Reference" in section:
            pages = [{name: path} for name, (path, _) in python_pages().items()]
            section["Reference"].append({"Python": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs: adds the made pages to those in the folder."""
    schema = json.loads((PACKAGE / "pipeline.schema.json").read_text(encoding="utf-8"))
    pages = {
        "reference/command-line.md": command_line_page(),
        "reference/pipeline-file.md": pipeline_page(schema),
        "stylesheets/tables.css": STYLE,
        **dict(python_pages().values()),
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def command_line_page() -> str:
    """What ``--help`` prints, for the program and each command."""
    runner = CliRunner(env={"COLUMNS": "78", "TERM": "dumb", "NO_COLOR": "1"})
    lines = ["# Command line", "", "What `--help` prints. Exit codes: 0 done, 1 unexpected,"]
    lines += ["2 something to put right in what was given, 3 partly done.", ""]
    for name in ("", *typer.main.get_command(cli.app).commands):
        result = runner.invoke(cli.app, [*name.split(), "--help"], prog_name="medtranslate")
        if result.exit_code:
            raise RuntimeError(f"medtranslate {name} --help failed: {result.output}")
        title = f"medtranslate {name}".strip()
        lines += [f"## `{title}`", "", f"```text\n{result.output.strip()}\n```", ""]
    return "\n".join(lines)


def pipeline_page(schema: dict[str, Any]) -> str:
    """A section for each part of the pipeline file, a table row for each key."""
    lines = [
        "# Pipeline file",
        "",
        "A pipeline file is YAML, read as pure data. Unknown keys are refused. The JSON Schema of",
        "it is printed by `medtranslate schema`; every key below can also be set for one run with",
        "`--set part.key=value`.",
        "",
        *settings_section("The file", schema),
    ]
    for name, part in schema["$defs"].items():
        if "properties" in part:
            lines += settings_section(name, part)
    return "\n".join(lines)


def settings_section(title: str, part: dict[str, Any]) -> list[str]:
    """Heading, description and table of one settings model."""
    required = part.get("required", [])
    lines = [f"## {title}", "", part.get("description", ""), ""]
    lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in part["properties"].items():
        default = "required" if key in required else f"`{json.dumps(field.get('default'))}`"
        if isinstance(field.get("default"), dict):
            default = "its own defaults"
        meaning = cell(field.get("description", ""))
        lines.append(f"| `{key}` | {cell(describe_type(field))} | {cell(default)} | {meaning} |")
    return [*lines, ""]


def describe_type(field: dict[str, Any]) -> str:
    """The kind of value a schema entry allows, in words."""
    if "$ref" in field:
        name = field["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in field:
            return " or ".join(describe_type(choice) for choice in field[key])
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("type") == "array":
        items = field.get("prefixItems") or [field.get("items", {})]
        number = f"{len(items)} of " if "prefixItems" in field else "list of "
        return number + describe_type(items[0])
    limits = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    bounds = [f"{sign} {field[key]}" for key, sign in limits.items() if key in field]
    return " ".join([field.get("type", "any"), *bounds])


def cell(text: str) -> str:
    """Text that cannot break a table row."""
    return " ".join(text.split()).replace("|", "\\|")


def python_pages() -> dict[str, tuple[str, str]]:
    """A page for each package and single module: name to path and content."""
    pages = {}
    for top in sorted(PACKAGE.iterdir()):
        modules = sorted(top.rglob("*.py")) if top.is_dir() else [top]
        if not modules or modules[0].suffix != ".py" or top.name.startswith("_"):
            continue
        lines = [f"# medtranslate.{top.stem}", ""] if top.is_dir() else []
        level = 2 if top.is_dir() else 1
        for path in modules:
            parts = ("medtranslate", *path.relative_to(PACKAGE).with_suffix("").parts)
            name = ".".join(part for part in parts if part != "__init__")
            # What a package exports is shown where it is written.
            members = "false" if path.name == "__init__.py" else "null"
            lines += [f"::: {name}", "    options:", f"      members: {members}"]
            lines += [f"      heading_level: {level}", ""]
        pages[top.stem] = (f"reference/python/{top.stem}.md", "\n".join(lines))
    return pages
