"""Bundle what figures are made from, so that a laptop can draw them without re-running anything.

An archive is a .tar.gz with the tables of estimates, claims and costs of a study, the slices of
configuration that its figures read, and a manifest of sha256 digests. Equal contents give equal
bytes: entries are sorted, and times, owners and modes are fixed.
"""

import gzip
import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts import read_seal
from restem.errors import RestemError

MANIFEST: Final = "manifest.json"
TABLES: Final = ("summary", "lifts", "breakdown", "claims", "ledger", "overlap")
PAGES: Final = ("claims.md", "ledger.md", "table.md", "table.csv", "index.html")


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
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(_packed(files))
    return digests


def unpack(bundle: Path, output: Path) -> dict[str, Any]:
    """Unpack an archive into a folder and check every digest; return its manifest."""
    with tarfile.open(bundle) as packed:
        packed.extractall(output, filter="data")
    manifest: dict[str, Any] = json.loads((output / MANIFEST).read_text())
    for name, expected in manifest["files"].items():
        file = output / name
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != expected:
            raise RestemError(
                "the archive does not hold what its manifest says",
                f"{bundle}: {name}",
                "fetch the archive again",
            )
    return manifest


def commands(manifest: Mapping[str, Any], folder: Path) -> Iterator[list[str]]:
    """Yield the command that draws each figure of an unpacked archive."""
    for figure in manifest["figures"]:
        outputs = [str(folder / output) for output in figure["outputs"]]
        settings = json.dumps(figure["settings"], sort_keys=True)
        option, table = figure["input"]
        yield [
            figure["stage"], f"--{option}", str(folder / table), "--output", *outputs,
            "--settings", settings,
        ]  # fmt: skip


def as_text(command: list[str]) -> str:
    """Write a command as a line for a shell."""
    return shlex.join(["restem", *command])


def _found(results: Path) -> Iterator[Path]:
    for name in (*(f"{table}.parquet" for table in TABLES), *PAGES):
        if (results / name).is_file():
            yield results / name
    for folder in ("figures", "paper"):
        for path in sorted((results / folder).glob("*")):
            if path.suffix in (".pdf", ".svg", ".png", ".md"):
                yield path


def _figures(results: Path) -> list[dict[str, Any]]:
    """Return the stage, the settings, the input and the outputs of every figure, from its seal."""
    found = []
    for folder, stage, option in (("figures", "figure", "summary"), ("paper", "plot", "estimates")):
        for path in sorted((results / folder).glob("*.pdf")):
            seal = read_seal(path)
            if seal is None:
                continue
            table = seal["settings"].get("table", "summary")
            outputs = [f"{folder}/{path.stem}.{kind}" for kind in ("pdf", "svg", "png")]
            found.append(
                {"stage": stage, "settings": seal["settings"], "outputs": outputs}
                | {"input": [option, f"{table}.parquet"]}
            )
    return found


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
