"""Which locks and images the jobs of a study need.

Every study needs the locks of its stages. Some studies also need locks for packages that they read:
models that come in Python packages, and reasoning-gym. Those are installed as well, in `.venv` and
in the images.
"""

from dataclasses import dataclass
from pathlib import Path

from restem.config.data import ReasoningGymSource
from restem.config.models import PackageModel
from restem.config.study import Study
from restem.deployment.environments import PIN
from restem.deployment.images import Image
from restem.errors import RestemError
from restem.rewards.gym_datasets import PACKAGE as REASONING_GYM
from restem.stages.declaration import load_stage, stage_names
from restem.study.graph import StudyGraph

LOCKS = Path("envs")
SECOND_GRADER = "second-grader"


@dataclass(frozen=True)
class OwnLock:
    """A lock that only some studies need.

    family: its name in envs/. users: the tasks or models that need it. stages: those that import
    its packages. also: further locks that these packages need.
    """

    family: str
    users: tuple[str, ...]
    stages: tuple[str, ...]
    also: tuple[str, ...] = ()


def stage_locks(graph: StudyGraph) -> list[str]:
    """List the locks of the stages of a study, for its engines too, and that of Snakemake."""
    engines = {draws.policy.model: draws for draws in graph.sampled()}
    sampled = (graph.samples_settings(draws) for draws in engines.values())
    of_engines = {load_stage("samples").family(settings) for settings in sampled}
    others = {load_stage(name).lock for name in stage_names()}
    if not graph.study.false_positives.sample:
        others.discard(SECOND_GRADER)
    return sorted(of_engines | others | {"workflow"})


def own_locks(study: Study, root: Path = Path()) -> list[OwnLock]:
    """List the locks that this study needs and others may not. root: of the clone."""
    models: dict[str, list[str]] = {}
    for name, model in study.models.items():
        if isinstance(model.source, PackageModel):
            models.setdefault(model.source.package, []).append(name)
    locks = [
        OwnLock(_pinned_in(package, root), tuple(users), ("base",))
        for package, users in models.items()
    ]
    tasks = [
        n for n, task in study.tasks.items() if isinstance(task.data.source, ReasoningGymSource)
    ]
    if tasks:  # the library imports matplotlib
        stages = ("problems", "rewards", "metrics", "policy")
        locks.append(OwnLock(_pinned_in(REASONING_GYM, root), tuple(tasks), stages, ("report",)))
    return locks


def _pinned_in(package: str, root: Path) -> str:
    """Return the lock that pins a package."""
    for lock in sorted((root / LOCKS).glob("*.txt")):
        if package in dict(PIN.findall(lock.read_text())):
            return lock.stem
    raise RestemError(f"no lock pins {package}", str(root / LOCKS), "restore envs/ from git")


def image(study: Study, name: str, root: Path = Path()) -> Image:
    """Return an image with the study's own locks that its jobs need. root: of the clone."""
    additions = [
        family
        for lock in own_locks(study, root)
        if any(study.images.of(load_stage(stage).lock) == name for stage in lock.stages)
        for family in (lock.family, *lock.also)
    ]
    return Image(name, root, tuple(sorted(set(additions))))


def images(graph: StudyGraph, root: Path = Path()) -> list[Image]:
    """List the images that the jobs of a study run in. root: of the clone."""
    names = {graph.study.images.of(family) for family in stage_locks(graph)}
    return [image(graph.study, name, root) for name in sorted(names)]
