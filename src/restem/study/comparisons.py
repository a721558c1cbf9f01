"""Whose solutions the page of a study sets side by side: base and last policy of a main method."""

from collections.abc import Iterator
from dataclasses import dataclass

from restem.config.variant import Evaluation
from restem.study.addresses import Draws, Policy
from restem.study.graph import StudyGraph

SPLIT = "test"
MOST = 12  # comparisons; the page of a study with more tasks and models stays readable


@dataclass(frozen=True)
class Comparison:
    """A policy, and the completions of its base model and of itself on the same problems."""

    policy: Policy
    before: Draws
    after: Draws


def main_variants(graph: StudyGraph) -> dict[str, str]:
    """Return by trained task its main method: the first variant that is not a reference.

    A task that only references are trained on has the first of them.
    """
    stated = graph.study.variants.items()
    methods = sorted(stated, key=lambda item: item[1].reference)  # stable
    found: dict[str, str] = {}
    for name, variant in methods:
        found.setdefault(variant.task, name)
    return dict(sorted(found.items()))


def comparisons(graph: StudyGraph) -> list[Comparison]:
    """List what is compared: for each trained task and model, its main method's first seed.

    The split is test; the decoding is greedy where such an evaluation is stated, else the first
    one. Nothing is compared where no evaluation has both policies, or a human has yet to grade.
    """
    return list(_all(graph))[:MOST]


def _all(graph: StudyGraph) -> Iterator[Comparison]:
    seed = graph.study.seeds[0]
    for task, name in main_variants(graph).items():
        for model in sorted(graph.study.models_on(task, graph.study.variants[name].models)):
            last = graph.last(name, model, seed)
            for evaluation in _evaluations(graph, last)[:1]:
                before, after = (
                    graph.draws(p, task, SPLIT, evaluation.decoding, p.seed)
                    for p in (graph.base(model), last)
                )
                if graph.judged(before) and graph.judged(after):
                    yield Comparison(last, before, after)


def _evaluations(graph: StudyGraph, policy: Policy) -> list[Evaluation]:
    """List the test evaluations of a policy on the task that it is trained on, greedy ones first.

    The base model is a part of every evaluation.
    """
    found = [
        e
        for e in graph.study.evaluations
        if (e.task, e.split) == (policy.task, SPLIT)
        and policy.model in graph.study.models_on(e.task, e.models)
        and (e.variants is None or policy.variant in e.variants)
    ]
    return sorted(found, key=lambda e: not graph.study.decodings[e.decoding].greedy)
