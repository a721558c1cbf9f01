"""Digests: what a stage was told, which code it ran, in which environment, on which inputs.

A digest answers one question only: is this still the same? Comments, docstrings, formatting and
the order of keys never change one.
"""

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

from restem.errors import RestemError

PACKAGE = "restem"
PACKAGE_ROOT = Path(__file__).parents[1]


def canonical_json(value: object) -> str:
    """Render a JSON value with sorted keys and no white space, so that equal values are equal."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """Return the sha256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the sha256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def lock_digest(path: Path) -> str:
    """Return the digest of a lock file's requirements; comments and blank lines do not count."""
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in path.read_text().splitlines())
    return digest(sorted(line for line in lines if line))


def code_digest(modules: Iterable[str], root: Path = PACKAGE_ROOT) -> str:
    """Return the digest of the import closure of some modules, inside the package only."""
    return digest(code_digests(modules, root))


def code_digests(modules: Iterable[str], root: Path = PACKAGE_ROOT) -> dict[str, str]:
    """Return the digest of every module that some modules import, by dotted name.

    Imports inside functions count; imports by name at run time cannot be seen, so whoever loads
    a plug-in that way names its module here.
    """
    found: dict[str, str] = {}
    waiting = sorted(_with_packages(modules))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        logic, imported = _module(_source(name, root), name, root)
        found[name] = logic
        waiting.extend(imported)
    return found


def closure(modules: Iterable[str], root: Path = PACKAGE_ROOT) -> list[str]:
    """Return the dotted names of all modules that some modules import, themselves included."""
    return sorted(code_digests(modules, root))


def _source(name: str, root: Path) -> Path:
    path = root.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _module(source: Path, name: str, root: Path) -> tuple[str, tuple[str, ...]]:
    if not source.is_file():
        raise RestemError(f"there is no module {name!r}", str(source), "correct the name")
    stat = source.stat()
    return _parsed(source, name, root, stat.st_mtime_ns, stat.st_size)


@cache
def _parsed(
    source: Path, name: str, root: Path, mtime_ns: int, size: int
) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(source.read_text(), filename=str(source))
    imported = tuple(sorted(_imports(tree, name, root)))
    return hashlib.sha256(ast.dump(_without_docstrings(tree)).encode()).hexdigest(), imported


def _imports(tree: ast.AST, importer: str, root: Path) -> set[str]:
    """Name the package's modules that a tree imports, with the packages on the way to them."""
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, importer, root)
            names.update({base, *(f"{base}.{alias.name}" for alias in node.names)})
    inside = {name for name in names if name.split(".")[0] == PACKAGE}
    return {name for name in _with_packages(inside) if _source(name, root).is_file()}


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield a tree and all statements in it; expressions hold none, so they are passed over."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, name, ())


def _with_packages(names: Iterable[str]) -> set[str]:
    """Add the packages that are imported on the way to some modules."""
    return {".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 2)}


def _absolute(node: ast.ImportFrom, importer: str, root: Path) -> str:
    if not node.level:
        return node.module or ""
    here = importer.split(".")
    keep = len(here) - node.level + (_source(importer, root).name == "__init__.py")
    return ".".join([*here[:keep], *([node.module] if node.module else [])])


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
    return tree


def flat(value: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Spread nested mappings into dotted keys, for telling which key changed."""
    rows: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            rows.update(flat(item, f"{prefix}{key}."))
        else:
            rows[f"{prefix}{key}"] = item
    return rows
