"""The base of every settings model, and the strict reading of YAML into it."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from medtranslate.errors import ConfigError


class Settings(BaseModel):
    """Frozen, strict settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_DEEPEST = 32
"""Levels of YAML; a pipeline file has six."""

_AnySettings = TypeVar("_AnySettings", bound=Settings)


class _StrictLoader(yaml.SafeLoader):
    """YAML as pure data: repeated keys, tags and anchors are errors; 1e-4 is a number."""


_StrictLoader.yaml_implicit_resolvers = {
    first: [
        pair for pair in pairs if not pair[0].endswith((":bool", ":float", ":timestamp", ":int"))
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _StrictDumper(yaml.SafeDumper):
    """Quotes every text that the loader here, or one of YAML 1.1, would take for something else."""


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", "-+0123456789"),
    (
        "float",
        r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?$",
        "-+.0123456789",
    ),
):
    for _side in (_StrictLoader, _StrictDumper):
        _side.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            line = node.value[position][0].start_mark.line + 1
            raise ConfigError(f"line {line}: key '{key}' is given twice; keep one")
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def parse_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Parse YAML text as pure data.

    Args:
        text: What the file holds.
        where: Names it in messages.

    Raises:
        ConfigError: If it is not YAML, repeats a key, uses anchors or tags, is nested deeper than
            anything here, or does not hold a mapping.
    """
    try:
        _refuse_traps(text, where)
        data = yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - the loader builds plain data only
    except ConfigError as error:
        message = str(error)
        raise ConfigError(message if message.startswith(where) else f"{where}: {message}") from None
    except (yaml.YAMLError, ValueError) as error:  # the latter: a number of thousands of digits
        raise ConfigError(f"{where}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected 'key: value' lines, found {type(data).__name__}")
    return data


def _refuse_traps(text: str, where: str) -> None:
    """Refuse what costs more to build than to write: anchors, and nesting without end."""
    depth = 0
    for event in yaml.parse(text, Loader=_StrictLoader):
        line = event.start_mark.line + 1 if event.start_mark else 0
        if getattr(event, "anchor", None) is not None:
            raise ConfigError(f"{where}:{line}: anchors and aliases are not read; write it out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ConfigError(f"{where}:{line}: is nested more than {_DEEPEST} levels deep")


def format_yaml(data: dict[str, Any]) -> str:
    """YAML text from which :func:`parse_yaml` reads equal data, texts such as ``09`` too.

    Example:
        >>> print(format_yaml({"subjects": ["09", "T1w"]}), end="")
        subjects:
        - '09'
        - T1w
    """
    return str(yaml.dump(data, Dumper=_StrictDumper, sort_keys=False, allow_unicode=True))


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of ``data`` with each ``dotted.key=value`` set; values are read as YAML.

    Raises:
        ConfigError: If an override has no ``=`` or goes through something that holds no keys.
    """
    result: dict[str, Any] = json.loads(json.dumps(data))
    for override in overrides:
        name, separator, text = override.partition("=")
        if not separator or not name.strip():
            raise ConfigError(f"--set {override}: expected key=value, as in train.num_steps=200")
        *parents, last = name.strip().split(".")
        node = result
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ConfigError(f"--set {override}: '{parent}' holds a value, not keys")
        node[last] = parse_yaml(f"value: {text}", where=f"--set {override}")["value"]
    return result


def validate_settings(
    model: type[_AnySettings], data: dict[str, Any], *, where: str, source: str = ""
) -> _AnySettings:
    """Build ``model`` from plain data and report every error at once.

    Args:
        model: Settings class.
        data: Plain data, as YAML or JSON gives it.
        where: File name used in messages.
        source: Text of the file; if given, messages carry line numbers.

    Raises:
        ConfigError: One line per error: place, key, what is wrong, what to do.
    """
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        lines = [
            _describe_error(model, dict(detail), where=where, source=source)
            for detail in error.errors(include_url=False)
        ]
    raise ConfigError("\n".join(lines))


def _describe_error(
    model: type[Settings], detail: dict[str, Any], *, where: str, source: str
) -> str:
    location = [str(part) for part in detail["loc"]]
    line = _find_line(source, location)
    place = f"{where}:{line}" if line else where
    value = detail.get("input")
    given = "" if isinstance(value, dict | list) else f" (got {value!r})"
    if detail["type"] == "extra_forbidden":
        known = _known_keys(model)
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        return f"{place}: {'.'.join(location)}: unknown key{hint}{given}"
    return f"{place}: {'.'.join(location)}: {detail['msg']}{given}"


def _known_keys(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    definitions = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for definition in definitions for key in definition.get("properties", {})})


def _find_line(source: str, location: Sequence[str]) -> int:
    """Line of the deepest key of ``location`` in ``source``, 0 if none."""
    found = 0
    lines = source.splitlines()
    for key in location:
        for number in range(found, len(lines)):
            if re.match(rf"\s*(?:-\s*)?[{{\s]*{re.escape(key)}\s*:", lines[number]):
                found = number + 1
                break
    return found
