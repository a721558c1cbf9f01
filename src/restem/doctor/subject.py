"""What the checks look at: a study, the folder that it runs in, site settings and a profile."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from restem.accounts.forecast import Assumptions, Forecast
from restem.accounts.sizes import is_here
from restem.config.models import Family
from restem.config.study import Study
from restem.deployment.engines import SAMPLING, Choice, choose_for
from restem.deployment.needs import stage_locks
from restem.deployment.profile import Profile
from restem.deployment.site import Site
from restem.study.graph import StudyGraph
from restem.tasks.hub import UnreachableError
from restem.tasks.registry import load_task
from restem.tasks.splits import LoadedSplit, load_split
from restem.tools.model_sizes import parameters_of

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Place:
    """Where a study runs. root: the clone; results are written to its folder `results`.

    profile: that of the run, if any; is_named: whether the user named it.
    """

    root: Path = Path()
    site: Site = field(default_factory=Site)
    profile: Profile | None = None
    is_named: bool = False

    @property
    def engine(self) -> Choice:
        """Return the engine that a run with the profile takes for models that name none."""
        resources = self.profile.resources(SAMPLING) if self.profile else {}
        return choose_for(self.site, resources, lambda: self.is_remote)

    @property
    def is_remote(self) -> bool:
        """Tell whether the jobs run on other machines."""
        return self.profile is not None and self.profile.is_remote

    @property
    def folder(self) -> Path:
        """Return the folder for results, or, while there is none, the one that it will be in."""
        results = self.root / "results"
        return results if results.is_dir() else self.root


@dataclass(frozen=True)
class Subject(Place):
    """A study and the place that it runs in. path: of its file. is_sound: has no contradictions."""

    path: Path = field(kw_only=True)
    study: Study = field(kw_only=True)
    families: Mapping[str, Family] = field(default_factory=dict, kw_only=True)
    is_sound: bool = field(default=True, kw_only=True)

    @cached_property
    def graph(self) -> StudyGraph:
        """Return the graph of the study, whatever is wrong with it."""
        return StudyGraph(self.study, checked=False)

    @cached_property
    def parameters(self) -> dict[str, float]:
        """Return the number of parameters of each model for which it is known."""
        return parameters_of(self.study, self.families)

    @cached_property
    def forecast(self) -> Forecast:
        """Return the cost of the study. Raises RestemError if a model's size is not known."""
        return Forecast(self.graph, self.parameters, Assumptions())

    @cached_property
    def lock_families(self) -> list[str]:
        """List the families of locked packages that the stages of the study need."""
        return stage_locks(self.graph)

    def loaded(self, task: str, split: str) -> LoadedSplit | None:
        """Return a split, None if its files are not on this machine.

        Overlapping problems stay in, because looking for them takes long. Raises RestemError if the
        data is not what the study says.
        """
        if (task, split) not in self._splits:
            module, data = load_task(self.graph.module(task)), self.study.tasks[task].data
            data = data.model_copy(update={"exclude_overlap": None})
            here = is_here(module, data, split)  # type: ignore[arg-type]
            loaded = load_split(module, data, split) if here else None  # type: ignore[arg-type]
            self._splits[task, split] = loaded
        return self._splits[task, split]

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the hub something; once it could not be reached, do not wait for it again.

        Raises RestemError: UnreachableError if there is no answer.
        """
        if self._away:
            place = self._away[0]
            raise UnreachableError("the hub cannot be asked, as above", place.where, place.fix)
        try:
            return question()
        except UnreachableError as problem:
            self._away.append(problem)
            raise

    @cached_property
    def _away(self) -> list[UnreachableError]:
        return []

    @cached_property
    def _splits(self) -> dict[tuple[str, str], LoadedSplit | None]:
        return {}
