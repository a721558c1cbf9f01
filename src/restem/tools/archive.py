"""Bundle what a study found, to keep it, to share it and to compare it with other results.

An archive is a .tar.gz with a study's tables of estimates, claims and costs, its pages and figures,
its results by problem with all recipes (`restem.tools.study_results`), and a manifest: sha256
digests of the files, and the settings of every figure. Completions and weights are not in it, so
its size grows with policies and problems alone. Equal contents give equal bytes, because entries
are sorted and have fixed times, owners and modes.
"""

import gzip
import hashlib
import io
import json
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.files import write_bytes
from restem.artifacts.seals import read_seal
from restem.errors import RestemError
from restem.tools.study_results import SAVED, StudyResults, read_study

MANIFEST: Final = "manifest.json"
TABLES: Final = (
    *("summary", "lifts", "breakdown", "changes", "claims", "ledger", "overlap"),
    "false_positives",
)
PAGES: Final = ("claims", "ledger", "false_positives", "methods", "table")
FILES: Final = (
    *(f"{name}.parquet" for name in TABLES),
    *(f"{name}.md" for name in PAGES),
    *("table.csv", "index.html"),
)
FORMATS: Final = (".pdf", ".svg", ".png")


def archive(results: Path, output: Path) -> tuple[dict[str, str], str | None]:
    """Write the archive of a study; return the digests of its files, and what cannot be in it.

    results: the study's folder. Results by problem are left out where they are not those that the
    estimates were made from. Raises RestemError if there are no estimates.
    """
    paths = [results / name for name in FILES if (results / name).is_file()]
    paths += sorted(path for path in results.glob("figures/*") if path.suffix in FORMATS)
    files = {str(path.relative_to(results)): path.read_bytes() for path in paths}
    if "summary.parquet" not in files:
        raise RestemError(
            "there are no estimates to archive", str(results), "run the study first: snakemake all"
        )
    missing = None
    try:
        files |= _saved(read_study(results))
    except RestemError as problem:
        missing = f"no results by problem, so restem compare cannot read it: {problem.what}"
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = {"study": results.name, "files": digests, "figures": list(_figures(results))}
    files[MANIFEST] = (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()
    write_bytes(output, _packed(files))
    return digests, missing


def _saved(study: StudyResults) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        study.save(Path(folder))
        return {name: Path(folder, name).read_bytes() for name in SAVED}


def unpack(bundle: Path, output: Path) -> dict[str, Any]:
    """Check an archive, then write its files into a folder; return its manifest.

    Raises RestemError before it writes anything if the archive is not what its manifest says.
    """
    files = _read_files(bundle)
    manifest = _manifest(files.pop(MANIFEST, b""), bundle)
    for name, expected in manifest["files"].items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != expected:
            raise _refused("the archive differs from its manifest", f"{bundle}: {name}")
    for name in manifest["files"]:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(files[name])
    return manifest


def commands(manifest: Mapping[str, Any], folder: Path) -> Iterator[list[str]]:
    """Yield the command that plots each figure of an unpacked archive."""
    for figure in manifest["figures"]:
        outputs = [str(folder / output) for output in figure["outputs"]]
        settings = json.dumps(figure["settings"], sort_keys=True)
        estimates = str(folder / figure["input"])
        ledger = ["--ledger", str(folder / figure["ledger"])] if "ledger" in figure else []
        yield ["figure", "--estimates", estimates, *ledger,
               "--output", *outputs, "--settings", settings]  # fmt: skip


def _read_files(bundle: Path) -> dict[str, bytes]:
    try:
        with tarfile.open(bundle) as tar:
            streams = [(entry.name, tar.extractfile(entry)) for entry in tar]
            return {name: stream.read() for name, stream in streams if stream is not None}
    except (tarfile.TarError, OSError, EOFError, zlib.error) as problem:
        raise _refused(f"the archive is damaged: {problem}", str(bundle)) from problem


def _manifest(content: bytes, bundle: Path) -> dict[str, Any]:
    """Read a manifest. Raises RestemError if it names a file outside the archive's folder."""
    try:
        manifest: dict[str, Any] = json.loads(content)
        figures = manifest["figures"]
        names = [*manifest["files"], *(n for f in figures for n in _named_by(f))]
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise _refused("the archive has no readable manifest", str(bundle)) from problem
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        raise _refused("the manifest names files outside the archive", str(bundle))
    return manifest


def _named_by(figure: Mapping[str, Any]) -> list[str]:
    ledger = [figure["ledger"]] if "ledger" in figure else []
    return [*figure["outputs"], figure["input"], *ledger]


def _refused(what: str, where: str) -> RestemError:
    return RestemError(what, where, "fetch the archive again, or make it with restem archive")


def _figures(results: Path) -> Iterator[dict[str, Any]]:
    """Yield the settings, the input and the outputs of every figure, from its seal."""
    for path in sorted(results.glob("figures/*.pdf")):
        if seal := read_seal(path):
            settings = seal["settings"]
            yield {
                "settings": settings,
                "outputs": [f"figures/{path.stem}{suffix}" for suffix in FORMATS],
                "input": f"{settings.get('table', 'summary')}.parquet",
                **({"ledger": "ledger.parquet"} if seal["inputs"].get("ledger") else {}),
            }


def _packed(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
