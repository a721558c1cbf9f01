"""What the digests of code need to know of a module, parsed once for each content.

Parsing all modules takes a seventh of the time of a small plan. So the results are kept beside
Python's bytecode, under the sha256 of what they follow from: the source and the code that reads it.
Like bytecode, they are not written where PYTHONDONTWRITEBYTECODE is set or nothing can be written.
"""

import ast
import hashlib
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from restem.artifacts import syntax

_FILE_NAME = re.compile(r"'([\w-]+(?:[/.][\w-]+)+)'")


class Module(NamedTuple):
    """The sha256 of a module's canonical syntax, all names it may import, possible file names.

    `from a import b` may import a module `a.b` or a name in `a`, so both are listed.
    """

    digest: str
    imports: tuple[str, ...]
    files: tuple[str, ...]


def parse(content: bytes, package: str, file: str) -> Module:
    """Parse the source of a module that lies in a package, or is its `__init__`.

    Raises SyntaxError, which names the file.
    """
    tree = ast.parse(content, file)
    text = syntax.canonical_syntax(tree)
    files = (name for name in set(_FILE_NAME.findall(text)) if not name.endswith(".py"))
    return Module(
        hashlib.sha256(text.encode()).hexdigest(),
        tuple(sorted(set(_imports(tree, package)))),
        tuple(sorted(files)),
    )


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in syntax.statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


class Modules:
    """The parsed modules below a folder, as they are and as they were kept."""

    def __init__(self, root: Path) -> None:
        folder = root / "__pycache__"
        self._path = folder / f"modules.{sys.implementation.cache_tag}.json"
        self._kept: dict[str, tuple[str, Module]] = {}
        self._is_new = False
        # A damaged file counts as none.
        with suppress(OSError, ValueError, TypeError, AttributeError):
            for place, (key, *module) in json.loads(self._path.read_bytes()).items():
                digest, imports, files = module
                self._kept[place] = key, Module(digest, tuple(imports), tuple(files))

    def read(self, path: Path, package: str) -> Module:
        """Return what is known of a file's present content. Raises OSError and SyntaxError."""
        content = path.read_bytes()
        key = hashlib.sha256(f"{_parser()} {package} ".encode() + content).hexdigest()
        place = f"{package}/{path.name}"
        kept = self._kept.get(place)
        if kept is None or kept[0] != key:
            kept = self._kept[place] = key, parse(content, package, str(path))
            self._is_new = True
        return kept[1]

    def keep(self) -> None:
        """Write what is new, if it may be written."""
        if not self._is_new or sys.dont_write_bytecode:
            return
        self._is_new = False
        kept = {place: [key, *module] for place, (key, module) in self._kept.items()}
        part = self._path.with_name(f"{self._path.name}.{os.urandom(4).hex()}")
        with suppress(OSError):
            self._path.parent.mkdir(exist_ok=True)
            try:
                part.write_text(json.dumps(kept))
                part.replace(self._path)
            finally:
                part.unlink(missing_ok=True)


@cache
def _parser() -> str:
    """Return the sha256 of the code that parses: where it changed, nothing kept counts."""
    code = b"".join(Path(file).read_bytes() for file in (__file__, syntax.__file__))
    return hashlib.sha256(code).hexdigest()
