"""Bundle what figures are made from, so that a laptop can draw them without re-running anything.

An archive is a .tar.gz with the tables of estimates, claims and costs of a study, the slices of
configuration that its figures read, and a manifest of sha256 digests. Equal contents give equal
bytes: entries are sorted, and times, owners and modes are fixed.
"""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.store import read_seal, write_bytes
from restem.errors import RestemError

MANIFEST: Final = "manifest.json"
TABLES: Final = ("summary", "lifts", "breakdown", "claims", "ledger", "overlap", "false_positives")
FIGURES: Final = "figures"
PAGES: Final = (
    "claims.md",
    "ledger.md",
    "false_positives.md",
    "methods.md",
    "table.md",
    "table.csv",
    "index.html",
)


def archive(results: Path, output: Path) -> dict[str, str]:
    """Write the archive of a study; return the digests of its files.

    results: the study's folder. Raises RestemError when it has no estimates.
    """
    files = {str(path.relative_to(results)): path.read_bytes() for path in _found(results)}
    if "summary.parquet" not in files:
        raise RestemError(
            "there are no estimates to archive", str(results), "run the study first: snakemake all"
        )
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"study": results.name, "files": digests, "figures": _figures(results)}
    files[MANIFEST] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    write_bytes(output, _packed(files))
    return digests


def unpack(bundle: Path, output: Path) -> dict[str, Any]:
    """Check an archive, then write its files into a folder; return its manifest.

    Raises RestemError before anything is written when the archive is not what its manifest says.
    """
    files = _members(bundle)
    manifest = _manifest(files.pop(MANIFEST, b""), bundle)
    for name, expected in manifest["files"].items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != expected:
            raise _refused("the archive does not hold what its manifest says", f"{bundle}: {name}")
    for name in manifest["files"]:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(files[name])
    return manifest


def commands(manifest: Mapping[str, Any], folder: Path) -> Iterator[list[str]]:
    """Yield the command that draws each figure of an unpacked archive; only figures are drawn."""
    for figure in manifest["figures"]:
        outputs = [str(folder / output) for output in figure["outputs"]]
        settings = json.dumps(figure["settings"], sort_keys=True)
        estimates = str(folder / figure["input"])
        yield ["figure", "--estimates", estimates, "--output", *outputs, "--settings", settings]


def _members(bundle: Path) -> dict[str, bytes]:
    """Read every file of an archive."""
    try:
        with tarfile.open(bundle) as packed:
            members = [(entry.name, packed.extractfile(entry)) for entry in packed]
            return {name: stream.read() for name, stream in members if stream is not None}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise _refused(f"this is no whole archive: {problem}", str(bundle)) from problem


def _manifest(content: bytes, bundle: Path) -> dict[str, Any]:
    """Read a manifest; what it names must stay in the folder."""
    try:
        manifest: dict[str, Any] = json.loads(content)
        figures = manifest["figures"]
        names = [*manifest["files"], *(n for f in figures for n in (*f["outputs"], f["input"]))]
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise _refused("the archive has no readable manifest", str(bundle)) from problem
    outside = [name for name in names if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise _refused("the manifest names files outside the archive", str(bundle))
    return manifest


def _refused(what: str, where: str) -> RestemError:
    return RestemError(what, where, "fetch the archive again, or make it with restem archive")


def _found(results: Path) -> Iterator[Path]:
    for name in (*(f"{table}.parquet" for table in TABLES), *PAGES):
        if (results / name).is_file():
            yield results / name
    for path in sorted((results / FIGURES).glob("*")):
        if path.suffix in (".pdf", ".svg", ".png"):
            yield path


def _figures(results: Path) -> list[dict[str, Any]]:
    """Return the settings, the input and the outputs of every figure, from its seal."""
    figures = []
    for path in sorted((results / FIGURES).glob("*.pdf")):
        if seal := read_seal(path):
            settings = seal["settings"]
            outputs = [f"{FIGURES}/{path.stem}.{kind}" for kind in ("pdf", "svg", "png")]
            table = f"{settings.get('table', 'summary')}.parquet"
            figures.append({"settings": settings, "outputs": outputs, "input": table})
    return figures


def _packed(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as packed,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            packed.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
