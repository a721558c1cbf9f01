"""Read YAML files strictly: what YAML would drop or reinterpret in silence is an error.

YAML 1.1, which PyYAML and Snakemake read, keeps the last of two equal keys, and reads 012 as 10,
1:30 as 90, and `no` as a boolean.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from restem.config.errors import invalid
from restem.errors import RestemError

_KEPT = re.compile(r"[-+]?(0|[1-9][0-9_]*)")  # integers that mean what they look like
LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C it takes a fifth of the time
_TAG = "tag:yaml.org,2002:"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping. Raises RestemError with all ambiguities of the file at once."""
    text = _text(path)
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        problems = list(_ambiguities(loader, node, set())) if node else []
        content = loader.construct_document(node) if node and not problems else None
    except (yaml.YAMLError, ValueError) as problem:
        mark = getattr(problem, "problem_mark", None)
        lines = text.splitlines()
        if mark and mark.line < len(lines) and re.match(r"\s*\t", lines[mark.line]):
            raise RestemError(
                f"line {mark.line + 1} is indented with a tab",
                str(path),
                "use spaces: YAML does not allow tabs there",
            ) from problem
        raise RestemError(
            f"the YAML file cannot be read: {problem}", str(path), "correct it"
        ) from problem
    if problems:
        raise invalid(problems, str(path), "YAML file", "lines")
    if not isinstance(content, dict):
        raise RestemError("the YAML file is not a mapping", str(path), "start it with `study:`")
    return content


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = problem.object[: problem.start].count(b"\n") + 1
        raise RestemError(
            f"the file is not UTF-8: byte 0x{problem.object[problem.start]:02x} in line {line}",
            str(path),
            "save it as UTF-8",
        ) from problem
    except FileNotFoundError as problem:
        raise RestemError("there is no such file", str(path), "correct the path") from problem
    except OSError as problem:
        raise RestemError(
            f"the YAML file cannot be read: {problem}", str(path), "correct it"
        ) from problem


def _ambiguities(loader: Any, node: yaml.Node, seen: set[int]) -> Iterator[str]:
    """Describe what a reader would misunderstand, in the order of the file."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        if reason := _reinterpreted(loader, node):
            yield f"line {node.start_mark.line + 1}: {reason}"
    elif isinstance(node, yaml.MappingNode):
        yield from _bad_keys(node)
        for _, value in node.value:
            yield from _ambiguities(loader, value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _ambiguities(loader, item, seen)


def _bad_keys(node: yaml.MappingNode) -> Iterator[str]:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        kind = key.tag.removeprefix(_TAG)
        if kind in ("bool", "null"):
            yield f"line {line}: YAML reads the key {key.value!r} as a {kind}; put it in quotes"
        if name in lines:
            yield f"line {line}: the key {key.value!r} is also in line {lines[name]}; keep one"
        lines.setdefault(name, line)


def _reinterpreted(loader: Any, node: yaml.ScalarNode) -> str:
    """Say how YAML reads a value that looks like something else; empty if it does not."""
    kind = node.tag.removeprefix(_TAG)
    if kind == "timestamp":
        return f"YAML reads {node.value} as a date; put it in quotes"
    if kind not in ("int", "float"):
        return ""
    number = loader.construct_object(node)
    if not math.isfinite(number):
        return f"{node.value} is not a finite number; write one"
    if ":" in node.value or (kind == "int" and not _KEPT.fullmatch(node.value)):
        return f"YAML reads {node.value} as {number}; write it in decimal, without a leading 0"
    return ""
