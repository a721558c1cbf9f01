"""What MLflow is to hold of a study, as data that can wait in a spool.

A study is one run. Below it is a run for each lineage, such as `chain/S/rest-em/seed-0`, with the
estimates by iteration, and below that one for each policy.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from restem.artifacts.digests import digest
from restem.errors import RestemError

Kind = Literal["study", "lineage", "policy"]
Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
Payload = dict[str, Any]

ONLY: Final = "only"  # the key of runs that nothing replaces: those of studies and lineages
_ARTIFACT_BYTES: Final = 5_000_000


@dataclass(frozen=True)
class Dataset:
    """A table that a policy was made from; used_for: training or validation."""

    name: str
    digest: str
    used_for: str


@dataclass(frozen=True)
class Run:
    """What MLflow is to hold about one policy, lineage or study.

    address: name of the run; parent: address of the one above it, '' for a study. key: digest of
    the policy's recipe: with another key, another run replaces it. curves: (step, value) or (step,
    value, seconds since the epoch) by name. artifacts: small files with different names; texts:
    further artifacts by path. started, ended: seconds since the epoch.
    """

    address: str
    key: str
    parent: str = ""
    kind: Kind = "policy"
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    artifacts: Sequence[Path] = ()
    texts: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Dataset] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None
    status: Status = "FINISHED"


def payload(study: str, run: Run) -> Payload:
    """Return everything that MLflow is to hold, under names that it accepts.

    Its digest leaves out what the clock decides. Raises RestemError for what cannot be published.
    """
    if not re.fullmatch(r"[\w.-]+", study):
        raise RestemError(
            "a study's name may contain only letters, digits, '.', '_' and '-'", study, "rename it"
        )
    curves = [(name, [[0, value]]) for name, value in run.metrics.items()]
    curves += [(name, [list(point) for point in curve]) for name, curve in run.curves.items()]
    files = [(path.name, _encoded(path)) for path in run.artifacts]
    files += [(name, base64.b64encode(text.encode()).decode()) for name, text in run.texts.items()]
    content: Payload = {
        "study": study,
        "name": run.address,
        "kind": run.kind,
        "key": run.key,
        "params": {_clean(name): _as_text(value) for name, value in run.params.items()},
        "metrics": _distinct([(_clean(name), curve) for name, curve in curves], run.address),
        "tags": {_clean(name): value for name, value in run.tags.items()},
        "artifacts": _distinct(files, run.address),
        "datasets": [vars(dataset) for dataset in run.datasets],
    }
    timeless = {name: [point[:2] for point in curve] for name, curve in content["metrics"].items()}
    return {
        **content,
        "digest": digest({**content, "metrics": timeless}),
        "parent": run.parent,
        "started": run.started,
        "ended": run.ended,
        "status": run.status,
    }


def _clean(name: str) -> str:
    """Return a name that MLflow accepts: pass@8 becomes pass_at_8."""
    return re.sub(r"[^\w./ -]", "_", name.replace("@", "_at_"))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _distinct(pairs: Sequence[tuple[str, Any]], address: str) -> dict[str, Any]:
    """Return a dictionary of the pairs. Raises RestemError if a name occurs twice."""
    duplicates = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if duplicates:
        raise RestemError(
            f"several metrics, curves or artifacts have the name {', '.join(duplicates)}",
            address,
            "give each its own name; '@' counts as '_at_'",
        )
    return dict(pairs)


def _encoded(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise RestemError(
            f"an artifact cannot be read: {problem}", str(path), "make it before publishing"
        ) from problem
    if len(content) > _ARTIFACT_BYTES:
        raise RestemError(
            f"an artifact has {len(content):,} bytes, more than {_ARTIFACT_BYTES:,}",
            str(path),
            "publish a summary of it instead",
        )
    return base64.b64encode(content).decode()
