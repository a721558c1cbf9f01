"""Describe a published data set as an RO-Crate, for archives such as WorkflowHub and Zenodo.

RO-Crate 1.1 with the profile Process Run Crate 0.5: which software made which files from which
study file. It is JSON-LD, `ro-crate-metadata.json` beside the files.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from restem.artifacts.files import write_json
from restem.artifacts.seals import seals
from restem.publication.contents import ARCHIVE, STUDY_FILE, Contents

METADATA: Final = "ro-crate-metadata.json"
_CRATE: Final = "https://w3id.org/ro/crate/1.1"
_PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
_RUN: Final = "#run"
_SOFTWARE: Final = "#restem"
_NAMES: Final[Mapping[str, tuple[str, str]]] = {
    STUDY_FILE: ("the study", "text/yaml"),
    ARCHIVE: ("estimates, tables, claims, costs and figures", "application/gzip"),
    "README.md": ("card of the data set", "text/markdown"),
    "completions": ("completions with verdicts", ""),
    "problems": ("problems", ""),
}


def write_crate(found: Contents, folder: Path, spdx: str | None, commit: str) -> None:
    """Write the metadata of a data set that is laid out in a folder; spdx: its license."""
    parts = [_part(folder / name) for name in _NAMES if (folder / name).exists()]
    made = [part["@id"] for part in parts if part["@id"] not in (STUDY_FILE, "README.md")]
    started, ended = _times(found.results)
    license_url = f"https://spdx.org/licenses/{spdx}"
    graph = [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "about": {"@id": "./"},
            "conformsTo": {"@id": _CRATE},
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": found.study,
            "description": found.graph.study.description or f"The study {found.study}",
            "datePublished": ended,
            "license": {"@id": license_url} if spdx else "see README.md",
            "conformsTo": {"@id": _PROFILE},
            "hasPart": [{"@id": part["@id"]} for part in parts],
            "mentions": {"@id": _RUN},
        },
        {
            "@id": _PROFILE,
            "@type": "CreativeWork",
            "name": "Process Run Crate",
            "version": "0.5",
        },
        {
            "@id": _SOFTWARE,
            "@type": "SoftwareApplication",
            "name": "restem",
            "description": "A Snakemake workflow for ReST-EM and related self-training methods.",
            "softwareVersion": commit,
        },
        {
            "@id": _RUN,
            "@type": "CreateAction",
            "name": f"Run of the study {found.study}",
            "description": f"snakemake --configfile {STUDY_FILE}",
            "instrument": {"@id": _SOFTWARE},
            "object": {"@id": STUDY_FILE},
            "result": [{"@id": name} for name in made],
            "startTime": started,
            "endTime": ended,
        },
        *parts,
    ]
    if spdx:
        graph.append({"@id": license_url, "@type": "CreativeWork", "name": spdx})
    write_json(folder / METADATA, {"@context": f"{_CRATE}/context", "@graph": graph})


def _part(path: Path) -> dict[str, Any]:
    name, encoding = _NAMES[path.name]
    if path.is_dir():
        return {"@id": f"{path.name}/", "@type": "Dataset", "name": name}
    about = {"name": name, "encodingFormat": encoding, "contentSize": str(path.stat().st_size)}
    return {"@id": path.name, "@type": "File", **about}


def _times(results: Path) -> tuple[str, str]:
    """Return when the first artifact was begun and the last one ended, from the seals."""
    ends = {path: path.stat().st_mtime for path, _ in seals(results) if path.is_file()}
    seconds = {path: float(seal["seconds"]) for path, seal in seals(results) if path in ends}
    first = min(end - seconds[path] for path, end in ends.items())
    return _iso(first), _iso(max(ends.values()))


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
