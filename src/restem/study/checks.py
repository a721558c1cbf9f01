"""What is known of a study before it runs: contradictions that would end it later are refused."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from restem.answers.markers import FINDERS
from restem.config.data import EmbeddedSource
from restem.config.errors import invalid
from restem.errors import RestemError, nearest
from restem.rewards.registry import verifier_names
from restem.study.addresses import Draws, Policy
from restem.study.figure_needs import bad_figures
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader

if TYPE_CHECKING:
    from restem.study.graph import StudyGraph

_LONGEST_FILE_NAME: Final = 255 - 24  # bytes, with room for a suffix and a temporary file's mark
_LONGEST_KEY: Final = 250  # characters of an MLflow metric, tag or run name


def refuse_contradictions(graph: "StudyGraph") -> None:
    """Raise RestemError with everything that is known to go wrong."""
    if problems := known_problems(graph):
        raise invalid(problems, f"study {graph.study.study!r}", "study")


def known_problems(graph: "StudyGraph") -> list[str]:
    """Describe everything that is known to go wrong."""
    problems = [*_bad_tasks(graph), *_bad_splits(graph), *_bad_shots(graph), *_bad_ks(graph)]
    problems += bad_figures(graph)
    return problems or list(_too_long(graph))


def _bad_tasks(graph: "StudyGraph") -> Iterator[str]:
    """Describe what a task's module names and does not exist, and what its grader cannot do."""
    verifiers = verifier_names()
    for name, block in graph.study.tasks.items():
        task = load_task(graph.module(name))
        named = [("verifier", task.verifier, verifiers)]
        named += [("marker", marker, list(FINDERS)) for marker in task.markers]
        for kind, value, known in named:
            if value not in known:
                yield (
                    f"tasks.{name}: restem.tasks.{graph.module(name)} names a {kind} that does not "
                    f"exist: {value!r}{nearest(value, known)}; correct it there"
                )
        if block.graded_sheets and not graph.by_hand(name):
            yield (
                f"tasks.{name}.graded_sheets: nobody grades this task: it has a verifier; leave "
                "the key out"
            )
    for name, variant in graph.study.variants.items():
        if graph.by_hand(variant.task):
            yield (
                f"variants.{name}.task: {variant.task} is graded by a human, so nothing can be "
                "trained on it; train on another task, and evaluate on this one"
            )


def _bad_splits(graph: "StudyGraph") -> Iterator[str]:
    """Describe splits that generated problems do not have."""
    missing: dict[str, list[str]] = {}
    for task, split in graph.splits():
        source = graph.study.tasks[task].data.source
        if isinstance(source, EmbeddedSource):
            one = Reader(source.model_copy(update={"pool": 1}), {})
            try:
                load_task(graph.module(task)).load(one, split)
            except RestemError:
                missing.setdefault(task, []).append(split)
    for task, splits in missing.items():
        yield (
            f"tasks.{task}: it has no {' and no '.join(splits)} split that the study reads; train "
            "on another task, and evaluate this one on test"
        )


def _bad_shots(graph: "StudyGraph") -> Iterator[str]:
    """Describe prompts with more worked examples than an embedded task has."""
    for name, block in graph.study.tasks.items():
        source, wanted = block.data.source, block.data.shots
        if isinstance(source, EmbeddedSource) and wanted:
            there = len(load_task(graph.module(name)).load(Reader(source, {}), "shots"))
            if wanted > there:
                yield f"tasks.{name}.data.shots: {wanted} worked examples of {there}; choose fewer"


def _bad_ks(graph: "StudyGraph") -> Iterator[str]:
    """Describe the k of pass@k and the like that no evaluated decoding draws enough for."""
    metrics, most = graph.study.metrics, graph.most_draws
    if not most or graph.study.experiments:  # greedy decoding has no k
        return
    for key, quantity in (("ks", "pass"), ("votes", "maj"), ("distinct", "distinct")):
        beyond = [k for k in getattr(metrics, key) if k > most and key in metrics.model_fields_set]
        if beyond:
            yield (
                f"metrics.{key}: {quantity}@{beyond[-1]} needs {beyond[-1]} draws, and no decoding "
                f"of an evaluation draws more than {most}; evaluate with more draws, or list only "
                f"k up to {most}"
            )


def _too_long(graph: "StudyGraph") -> Iterator[str]:
    """Describe names that are too long together: as a file name or as a tracking key."""
    study = graph.study.study
    longest = max(graph.sampled(), key=lambda d: len(_joined(graph, d)), default=None)
    if longest and len(_joined(graph, longest)) > _LONGEST_FILE_NAME:
        yield _shorten(f"SLURM's log folder {_joined(graph, longest)!r}", _LONGEST_FILE_NAME)
    spool = max((f"{study}--{p.path}" for p in graph.stated), key=len, default="")
    if len(spool) > _LONGEST_FILE_NAME - 14:  # a digest follows
        yield _shorten(f"MLflow's run {spool!r}", _LONGEST_FILE_NAME - 14)
    keys = (f"accuracy.{e.task}.{e.split}.{e.decoding}" for e in graph.study.evaluations)
    key = max(keys, key=len, default="")
    if len(key) > _LONGEST_KEY:
        yield _shorten(f"MLflow's metric {key!r}", _LONGEST_KEY)


def _joined(graph: "StudyGraph", draws: Draws) -> str:
    """Return the wildcards of a sampling job as its SLURM comment and log folder join them."""
    policy: Policy = draws.policy
    words = (policy.task, policy.model, policy.variant, policy.seed, policy.iteration, draws.task)
    shard = max(graph.shards(draws.split), key=len)
    return "_".join(map(str, (*words, draws.split, draws.label, draws.seed, shard)))


def _shorten(what: str, most: int) -> str:
    return f"{what} is longer than {most} characters; shorten the names that it consists of"
