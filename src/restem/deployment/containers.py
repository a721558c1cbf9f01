"""The container images that the jobs of a run use: whether they are there, and what differs.

An image is no part of a recipe, because the locked packages that it holds are. So results made in
other images, or outside images, stay; every plan names them in one line.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.logging import logger

from restem.artifacts.container import image_in_use, image_label, in_words
from restem.artifacts.seals import read_seal
from restem.config.study import Study
from restem.deployment import invocation, needs
from restem.deployment.environments import interpreter, is_here
from restem.deployment.images import Image, verified
from restem.errors import RestemError
from restem.stages.execution import from_argument
from restem.staleness.planner import Planner

Job = Any  # snakemake.jobs.Job
PREFIX = "container images: "


class Containers:
    """The images of a study. root: of the clone. used: whether jobs run in them."""

    def __init__(self, study: Study, root: Path, used: bool) -> None:
        self._study = study
        self.root = root
        self.used = used
        self._samples_with_vllm = any(m.engine.name == "vllm" for m in study.models.values())
        self._by_path: dict[str, Image] = {}

    def path(self, family: str) -> str:
        """Return the path of the image that holds a family of locked packages."""
        image = needs.image(self._study, self._study.images.of(family), self.root)
        path = str(image.path)
        self._by_path[path] = image
        return path

    def check(self, graph: Any) -> None:
        """Look at the jobs of a plan before they run; a dry run warns of what ends a real run.

        graph: Snakemake's graph of jobs. Raises RestemError when a job that has to run lacks its
        image or its environment.
        """
        stale = set(graph.needrun_jobs(exclude_finished=False))
        problems = list(self._missing([job for job in graph.jobs if job in stale]))
        workflow = graph.workflow
        if workflow.dryrun:
            graph.pull_container_imgs = lambda *_, **__: None  # it would ask for apptainer
        elif problems:
            raise problems[0] if len(problems) == 1 else _all_of(problems)
        for problem in problems:
            logger.warning(f"{problem.what}: {problem.where}. What to do: {problem.fix}")
        if workflow.is_main_process and (line := self.drift(set(graph.jobs) - stale)):
            logger.warning(line)

    def _missing(self, jobs: Iterable[Job]) -> Iterator[RestemError]:
        """Say what some jobs lack."""
        jobs = [job for job in jobs if not job.is_norun]
        if not self.used:
            yield from _missing_environments(jobs) if self._samples_with_vllm else ()
            return
        paths = dict.fromkeys(job.container_img_url for job in jobs if job.container_img_url)
        if paths and not any(map(shutil.which, ("apptainer", "singularity"))):
            yield RestemError(
                "apptainer is missing, in which this profile runs every job",
                "PATH",
                "load your site's module, or run without containers: "
                "--profile profiles/slurm-without-containers",
            )
        missing = [path for path in paths if not _is_built(self._by_path[path])]
        if missing:
            yield RestemError(
                "container images are not built",
                ", ".join(missing),
                f"build them: {invocation.command('images')}",
            )
        for path in paths:
            if path not in missing:
                try:
                    verified(self._by_path[path])
                except RestemError as problem:
                    yield problem

    def drift(self, jobs: Iterable[Job]) -> str:
        """Say how many artifacts were made in other images than a run now would use."""
        counts: Counter[tuple[str | None, str | None]] = Counter()
        for job in jobs:
            seal = read_seal(Path(job.output[0])) if Planner.planned(job) else None
            if seal is not None:
                counts[seal.get("image"), self._would_use(job)] += 1
        different = {pair: n for pair, n in counts.items() if not _are_equal(*pair)}
        if not different:
            return ""
        parts = [
            f"{n} artifact{'s were' if n > 1 else ' was'} made {in_words(made)}, a run now would "
            f"make {'them' if n > 1 else 'it'} {in_words(now)}"
            for (made, now), n in sorted(different.items(), key=str)
        ]
        return f"{PREFIX}{'; '.join(parts)}. They stay; delete them to make them again"

    def _would_use(self, job: Job) -> str | None:
        if self.used and job.container_img_url:
            return image_label(Path(job.container_img_url))
        return image_in_use()


def _all_of(problems: Sequence[RestemError]) -> RestemError:
    what = "; ".join(f"{problem.what} ({problem.where})" for problem in problems)
    return RestemError(what, "this run", "; ".join(problem.fix for problem in problems))


def _are_equal(made: str | None, now: str | None) -> bool:
    """Tell whether two labels are of one image; of one that is not built, only the name counts."""
    if made and now and "@" not in now:
        return made.partition("@")[0] == now
    return made == now


def _is_built(image: Image) -> bool:
    return image.path.is_file() and image.record.is_file()


def _missing_environments(jobs: Iterable[Job]) -> Iterator[RestemError]:
    """Say which environments of their own some jobs lack."""
    families = set()
    for job in jobs:
        planned = Planner.planned(job)
        if planned is not None and planned.stage.engine:
            families.add(planned.stage.family(from_argument(job.params.settings)))
    for family in sorted(families):
        if not is_here(family):
            try:
                interpreter(family)
            except RestemError as problem:
                yield problem


def named_paths(study: Study) -> list[Path]:
    """List the files and folders that a study names, and that of its tracking server, if local."""
    named = list(_paths_in(study.model_dump()))
    uri = study.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
    kind, _, place = uri.partition(":///")
    if place and kind in ("file", "sqlite"):
        named.append(Path(f"/{place}" if kind == "file" else place).parent)
    return named


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        yield from (path for item in value.values() for path in _paths_in(item))
    elif isinstance(value, list | tuple):
        yield from (path for item in value for path in _paths_in(item))
