"""Say in what the recipes of two studies differ, by key, module, packages and data."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Final

from restem.artifacts.seals import Recipe
from restem.staleness.reasons import differing_keys
from restem.tools.study_results import POLICY_DEPTH, Artifact

HEADERS: Final = ("stages", "what differs", "A", "B")
OTHER_CONTENT: Final = "the content, though the recipe is the same"
_NAMES: Final = ("model", "variant", "iteration", "train_task")  # of a policy: no settings of it
_DIGITS: Final = 12  # of a digest
_NAMED: Final = 6  # policies that a sentence names

Artifacts = Mapping[str, Artifact]
IsMade = Callable[[str], bool]
Difference = tuple[str, ...]
"""What differs, and how it is on A and on B."""


def differences(
    sides: tuple[Artifacts, Artifacts], is_made: tuple[IsMade, IsMade], named: bool
) -> list[tuple[str, ...]]:
    """Return a row for each difference, with the stages whose artifacts have it.

    sides: artifacts by path; those at the same path are compared. is_made: whether a content is of
    an artifact of the study. named: whether the names of policies are settings, too.
    """
    stages: dict[Difference, Counter[str]] = defaultdict(Counter)
    for path, first in sides[0].items():
        if second := sides[1].get(path):
            for difference in _between(first, second, is_made, named):
                stages[difference][first.recipe.stage] += 1
    return [(in_words(counts), *difference) for difference, counts in stages.items()]


def only_on_one(one: Artifacts, other: Artifacts) -> str | None:
    """Say what is on one side only; None if nothing is."""
    paths = [path for path in one if path not in other]
    if not paths:
        return None
    places = list(dict.fromkeys(_place(next(iter(one[path].contents))) for path in paths))
    more = f" and {len(places) - _NAMED} more" * (len(places) > _NAMED)
    kinds = in_words(Counter(one[path].recipe.stage for path in paths))
    return f"{kinds} ({', '.join(places[:_NAMED])}{more})"


def _place(path: str) -> str:
    """Return the policy that an artifact belongs to, or the artifact itself."""
    parts = PurePosixPath(path).parts
    return "/".join(parts[:POLICY_DEPTH]) if len(parts) > POLICY_DEPTH else path


def in_words(counts: Counter[str]) -> str:
    """Write how many artifacts of each stage there are."""
    return ", ".join(f"{stage} x {count}" for stage, count in counts.items())


def _between(
    first: Artifact, second: Artifact, is_made: tuple[IsMade, IsMade], named: bool
) -> Iterator[Difference]:
    a, b = first.recipe, second.recipe
    if a.key == b.key:
        if first.by_name != second.by_name:
            yield OTHER_CONTENT, "", ""
        return
    if a.stage != b.stage:
        yield "stage", a.stage, b.stage
    for kind in ("settings", "options"):
        of_both = [getattr(recipe, kind) for recipe in (a, b)]
        if not named and a.stage == "metrics":
            of_both = [{k: v for k, v in of.items() if k not in _NAMES} for of in of_both]
        for key, before, after in differing_keys(*of_both):
            yield f"{'key' if kind == 'settings' else 'option'} {key}", before, after
    for module in sorted(a.code.keys() | b.code.keys()):
        if a.code.get(module) != b.code.get(module):
            yield f"module {module}", *(r.code.get(module, "not used")[:_DIGITS] for r in (a, b))
    if a.environment != b.environment:
        yield "locked packages", a.environment[:_DIGITS], b.environment[:_DIGITS]
    for name in sorted(a.inputs.keys() | b.inputs.keys()):
        data = [_from_outside(of, name, made) for of, made in zip((a, b), is_made, strict=True)]
        if data[0] != data[1]:
            yield f"data of input {name}", *(_digests(contents) for contents in data)


def _from_outside(recipe: Recipe, name: str, is_made: IsMade) -> list[str]:
    return [content for content in recipe.inputs.get(name, []) if not is_made(content)]


def _digests(contents: Sequence[Any]) -> str:
    shown = ", ".join(str(content)[:_DIGITS] for content in contents[:2]) or "none"
    return shown + f" and {len(contents) - 2} more" * (len(contents) > 2)
