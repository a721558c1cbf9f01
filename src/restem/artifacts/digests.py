"""Compute the digests that decide whether an artifact is stale.

An artifact is stale when the digest of something that determines its content has changed:

- settings: `digest` of the part of the configuration that its stage reads;
- code: `code_digest` of the stage's module and of all modules of this package that it imports;
- environment: `lock_digest` of the lock file that lists the installed packages;
- inputs: the content of each file that the stage reads (`restem.artifacts.store.artifact_digest`).

Only changes of meaning change a digest. Comments, docstrings, formatting, the order of keys and the
version of Python that computes a digest do not count.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from restem.artifacts.modules import Module, Modules
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
    """Return the digest of a lock file's requirements, ignoring comments, blank lines and order."""
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in path.read_text().splitlines())
    return digest(sorted(line for line in lines if line))


def code_digest(modules: Iterable[str], root: Path = PACKAGE_ROOT) -> str:
    """Return the digest of some modules and everything that they import from this package."""
    return digest(code_digests(modules, root))


def code_digests(modules: Iterable[str], root: Path = PACKAGE_ROOT) -> dict[str, str]:
    """Return the digest of every module in the import closure of some modules, by dotted name.

    The closure is limited to this package. It includes imports inside functions. Modules that are
    imported by name at run time (plug-ins) cannot be seen and must be listed in `modules`.

    A data file beside a module belongs to it if the module names it in a string, as in
    `Path(__file__).parent / "units.json"` or `files(__package__) / "tables/units.json"`; it is
    listed by its path (`restem/answers/units.json`). A name that is put together at run time cannot
    be seen; such a file has to be an input of the stage.
    Raises RestemError when a module does not exist.
    """
    digests: dict[str, str] = {}
    queue = sorted(_with_packages(modules))
    while queue:
        name = queue.pop()
        if name in digests:
            continue
        path = _source(name, root)
        if not path.is_file():
            raise RestemError(f"module {name!r} not found", str(path), "correct the name")
        stat = path.stat()
        read = _read(path, name, root, stat.st_mtime_ns, stat.st_size)
        digests[name] = read.digest
        queue.extend(read.imports)
        for file in filter(Path.is_file, map(path.parent.joinpath, read.files)):
            digests[f"{PACKAGE}/{file.relative_to(root).as_posix()}"] = file_digest(file)
    _modules(root).keep()
    return digests


def flatten(value: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings into one with dotted keys, to show which key changed."""
    items: dict[str, object] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            items.update(flatten(item, f"{prefix}{key}."))
        else:
            items[f"{prefix}{key}"] = item
    return items


def _source(name: str, root: Path) -> Path:
    path = root.joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def _modules(root: Path) -> Modules:
    return Modules(root)


@cache
def _read(path: Path, name: str, root: Path, mtime_ns: int, size: int) -> Module:
    """Return what is known of a module; of its imports, the modules and packages of this package.

    Time and size are there for the cache alone.
    """
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    module = _modules(root).read(path, package)
    inside = _with_packages(other for other in module.imports if other.split(".")[0] == PACKAGE)
    imports = tuple(sorted(other for other in inside if _source(other, root).is_file()))
    return module._replace(imports=imports)


def _with_packages(names: Iterable[str]) -> set[str]:
    """Add the packages around some modules, because importing `a.b` also runs `a/__init__.py`."""
    return {".".join(n.split(".")[:i]) for n in names for i in range(1, n.count(".") + 2)}
