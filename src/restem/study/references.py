"""How many training problems have the reference solutions that a method trains on.

SFT on the solutions of a few problems says little about human data, so a method is refused that
finds fewer than the share that its selection wants (`human_share_min`).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from restem.artifacts.seals import read_seal
from restem.artifacts.tables import read_provenance
from restem.config.study import Study
from restem.errors import RestemError
from restem.study.policy_graph import PolicyGraph


def wanted_solutions(study: Study) -> dict[str, dict[str, float]]:
    """Map each task to the variants that train on reference solutions of all of its problems.

    Each with the smallest share that it accepts. Variants that use a part of the problems are left
    out: whether these have solutions is known when they have been chosen.
    """
    wanted: dict[str, dict[str, float]] = {}
    for name, variant in study.variants.items():
        method = study.method_of(name)
        selection = method.selection
        is_whole = selection.problem_share == 1 and selection.problems is None
        if selection.human is not None and is_whole and method.solved_by_base is None:
            wanted.setdefault(variant.task, {})[name] = selection.human_share_min
    return wanted


def source_of(study: Study, variant: str) -> str:
    """Return the name of the reference solutions that a variant trains on."""
    stated = study.variants[variant]
    human = study.method_of(variant).selection.human
    return study.tasks[stated.task].human if human == "human" else str(human)


def too_few_solutions(
    study: Study, task: str, problems: int, solutions: Mapping[str, int]
) -> Iterator[str]:
    """Describe the variants that find too few solutions.

    problems: in the training split. solutions: how many of them have one, by its name.
    """
    variants: dict[tuple[str, int, float], list[str]] = {}
    for variant, least in wanted_solutions(study).get(task, {}).items():
        source = source_of(study, variant)
        count = solutions.get(source, 0)
        if problems and (not count or count < least * problems):
            variants.setdefault((source, count, least), []).append(variant)
    for (source, count, least), names in variants.items():
        yield (
            f"variants.{', '.join(names)}: {count:,} of {problems:,} training problems of {task} "
            f"have a reference solution {source!r}, and selection.human_share_min is {least:g}; "
            "use data with more of them, or set it lower"
        )


def known_shortages(study: Study, results: Path) -> Iterator[str]:
    """Describe variants with too few solutions, where an earlier run has read the problems.

    results: folder of the study's results. Tables that other settings made are not looked at.
    """
    graph = PolicyGraph(study)
    for task in wanted_solutions(study):
        path = results / task / "problems" / "train.parquet"
        seal = read_seal(path)
        if seal is None or seal["settings"] != graph.problems_settings(task, "train"):
            continue
        try:
            counts = read_provenance(path).get("counts", {})
        except RestemError:  # damaged: the run makes it again
            continue
        if "solutions" in counts:
            yield from too_few_solutions(study, task, counts["problems"], counts["solutions"])
