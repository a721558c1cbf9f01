"""What MLflow is told about policies: from their manifests, or from how their jobs go."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import flatten
from restem.artifacts.progress import Progress, ProgressFile, read_progress
from restem.artifacts.seals import read_seal
from restem.policies.manifest import PolicyManifest
from restem.tracking.runs import ONLY, Dataset, Run, Status

ADDRESS: Final = ("task", "model", "variant", "seed", "iteration")
_SHOWN: Final = ("training", "reward", "validation", "seed", "source")
_USED_FOR: Final = {"examples": "training", "validation": "validation"}
_STATUS: Final[Mapping[str | None, Status]] = {
    None: "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "killed": "KILLED",
}


def running(policy: Path, progress: Progress, label: str) -> Run:
    """Return the run of a policy whose job has started; label: what the models are."""
    return Run(
        _name(policy),
        progress.key,
        parent=_lineage(policy),
        params=_params(progress.settings),
        curves=progress.curves,
        tags=_tags(policy, label),
        started=progress.started,
        ended=progress.ended,
        status=_STATUS[progress.outcome],
    )


def finished(
    policy: PolicyManifest,
    method: Mapping[str, Any],
    estimates: Sequence[Mapping[str, Any]],
    label: str,
) -> Run:
    """Return the run of a policy with its estimates; method: its settings, by key."""
    started, ended = _times(policy)
    path = policy.path
    return Run(
        _name(path),
        policy.provenance["key"],
        parent=_lineage(path),
        params=_params(policy.provenance["settings"]) | _flat(method),
        metrics=_metrics(estimates),
        curves=_curves(policy, ended),
        texts={} if policy.halted else {"model/MLmodel": _mlmodel(policy, ended)},
        datasets=[
            Dataset(f"{_name(path)}/{name}", content, _USED_FOR[name])
            for name in _USED_FOR
            for content in policy.provenance["inputs"].get(name, [])
        ],
        tags=_tags(path, label) | {"content": policy.content, "halted": policy.halted or ""},
        started=started,
        ended=ended,
    )


def lineages(
    policies: Iterable[PolicyManifest], estimates: Mapping[Path, Sequence[Mapping[str, Any]]]
) -> list[Run]:
    """Return a run for each lineage of policies: every estimate by iteration."""
    members: dict[str, list[PolicyManifest]] = {}
    for policy in policies:
        members.setdefault(_lineage(policy.path), []).append(policy)
    return [
        _lineage_run(address, sorted(group, key=lambda p: iteration_of(p.path)), estimates)
        for address, group in members.items()
    ]


def _lineage_run(
    address: str,
    group: Sequence[PolicyManifest],
    estimates: Mapping[Path, Sequence[Mapping[str, Any]]],
) -> Run:
    curves: dict[str, list[tuple[int, float, float]]] = {}
    times = {policy.path: _times(policy) for policy in group}
    for policy in group:
        for name, value in _metrics(estimates[policy.path]).items():
            point = (iteration_of(policy.path), value, times[policy.path][1])
            curves.setdefault(name, []).append(point)
    return Run(
        address,
        ONLY,
        kind="lineage",
        curves=curves,
        started=min(started for started, _ in times.values()),
        ended=max(ended for _, ended in times.values()),
    )


def address_of(policy: Path) -> dict[str, Any]:
    """Return the parts of a policy's address by name."""
    *names, seed, iteration = policy.parts[-6:-1]
    numbers = int(seed.split("-")[1]), int(iteration.split("-")[1])
    return dict(zip(ADDRESS, (*names, *numbers), strict=True))


def iteration_of(policy: Path) -> int:
    """Return the iteration of a policy."""
    return int(address_of(policy)["iteration"])


def _name(policy: Path) -> str:
    return "/".join(policy.parts[-6:-1])


def _lineage(policy: Path) -> str:
    return "/".join(policy.parts[-6:-2])


def _tags(policy: Path, label: str) -> dict[str, str]:
    tags = {f"restem.{name}": str(value) for name, value in address_of(policy).items()}
    return tags | {"note": label}


def _params(settings: Mapping[str, Any]) -> dict[str, str]:
    return _flat({name: settings[name] for name in _SHOWN if name in settings})


def _flat(settings: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in flatten(settings).items()}


def _metrics(estimates: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Name estimates by quantity, task, split and decoding, with the ends of their intervals."""
    metrics: dict[str, float] = {}
    for row in estimates:
        quantity = row["quantity"].replace("@", "_at_")
        name = f"{quantity}.{row['task']}.{row['split']}.{row['decoding']}"
        values = {"": row["estimate"], ".low": row["low"], ".high": row["high"]}
        metrics |= {name + end: value for end, value in values.items() if value is not None}
    return metrics


def _progress(policy: PolicyManifest) -> Progress | None:
    """Return how the policy's job went, if it was made here under the recipe that it has."""
    progress = read_progress(ProgressFile(policy.path).path)
    return progress if progress and progress.key == policy.provenance["key"] else None


def _times(policy: PolicyManifest) -> tuple[float, float]:
    """Return when the policy's job started and ended, as far as it is known."""
    progress = _progress(policy)
    if progress and progress.ended:
        return progress.started, progress.ended
    ended = policy.path.stat().st_mtime
    seal = read_seal(policy.path) or {}
    return ended - float(seal.get("seconds", 0.0)), ended


def _curves(policy: PolicyManifest, ended: float) -> dict[str, list[tuple[int, float, float]]]:
    """Return what was measured by step; of a policy that was made elsewhere, what it reports."""
    if progress := _progress(policy):
        return progress.curves
    report = policy.report
    curves = {
        "loss": enumerate(report.get("losses", []), start=1),
        "gradient_norm": enumerate(report.get("gradient_norms", []), start=1),
        "validation_reward": ((v["step"], v["reward"]) for v in report.get("validations", [])),
    }
    return {name: [(*point, ended) for point in points] for name, points in curves.items()}


def _mlmodel(policy: PolicyManifest, ended: float) -> str:
    """Return MLflow's description of a model: its signature, and where the checkpoint is."""
    from datetime import UTC, datetime

    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    signature = ModelSignature(
        Schema([ColSpec(DataType.string, "prompt")]),
        Schema([ColSpec(DataType.string, "completion")]),
    )
    model = Model(
        artifact_path="model",
        utc_time_created=datetime.fromtimestamp(ended, UTC),
        flavors={"restem": {"checkpoint": f"{_name(policy.path)}/{policy.checkpoint.name}"}},
        signature=signature,
        model_uuid=policy.content[:32],
        mlflow_version=None,
    )
    return str(model.to_yaml())
