"""Who uses which artifact: what a policy, a variant or an experiment costs, alone and shared."""

from collections.abc import Iterable, Iterator

from restem.config.experiment import Experiment
from restem.study.addresses import BASE, Policy
from restem.study.graph import StudyGraph


def groups(graph: StudyGraph) -> dict[str, dict[str, list[str]]]:
    """List the paths that the ledger adds up, by scope (study, experiment ...) and name."""
    everything = [draws.path for draws in graph.sampled()]
    everything += [policy.path for policy in policies_of(graph)]
    return {
        "study": {graph.study.study: everything},
        "experiment": {
            name: list(_spent(graph, _of_experiment(graph, name)))
            for name in graph.study.experiments
        },
        "variant": {
            name: list(_spent(graph, [p for p in graph.stated if p.variant == name]))
            for name in graph.study.variants
        },
        "policy": dict(_by_policy(graph)),
    }


def policies_of(graph: StudyGraph) -> list[Policy]:
    """List the base policies and the trained ones."""
    return [*map(graph.base, graph.study.models), *graph.trained]


def ancestry(graph: StudyGraph, policy: Policy) -> Iterator[str]:
    """Name everything that was drawn or trained to make a policy, back to the base model."""
    waiting, seen = [graph.owner(policy)], set[Policy]()
    while waiting:
        mine = waiting.pop()
        if mine in seen:
            continue
        seen.add(mine)
        yield mine.path
        if mine.variant == BASE:
            continue
        waiting += [graph.start(mine), *(graph.owner(a) for a in graph.averaged_with(mine))]
        for draws in graph.feeds(mine):
            waiting.append(draws.policy)
            yield draws.path


def _by_policy(graph: StudyGraph) -> Iterator[tuple[str, list[str]]]:
    """Name policies as claims do; a seed stands for all, for their costs are alike."""
    seed = graph.study.seeds[0]
    for model in graph.study.models:
        yield f"{model}/{BASE}", [graph.base(model).path]
    for policy in graph.stated:
        if policy.seed != seed:
            continue
        paths = list(ancestry(graph, policy))
        yield f"{policy.model}/{policy.variant}/{policy.iteration}", paths
        if graph.is_last(policy):
            yield f"{policy.model}/{policy.variant}/last", paths


def _of_experiment(graph: StudyGraph, name: str) -> list[Policy]:
    variants = graph.study.experiments[name].variants
    return [policy for policy in graph.stated if policy.variant in variants]


def _spent(graph: StudyGraph, policies: Iterable[Policy]) -> Iterator[str]:
    """Name what some policies and their evaluations took, each artifact once."""
    owners = {graph.owner(policy) for policy in policies}
    made = (path for policy in owners for path in ancestry(graph, policy))
    drawn = (draws.path for draws in graph.evaluations() if draws.policy in owners)
    yield from dict.fromkeys([*sorted(made), *drawn])


def sharing(graph: StudyGraph) -> dict[str, dict[str, int]]:
    """Count the work of every experiment by itself, and as it is done: each artifact once.

    All counts are for the whole study; divide by its seeds for those of one. A study without
    experiments counts its variants by themselves.
    """
    alone = [_alone(graph, e) for e in graph.study.experiments.values()]
    if not alone:
        alone = [(graph.stated, sum(1 for _ in graph.all_evaluated()))]
    naive = {
        "sampling runs": sum(len(graph.sources(p)) for stated, _ in alone for p in stated),
        "fine-tunings": sum(len(stated) for stated, _ in alone),
        "evaluations": sum(evaluations for _, evaluations in alone),
    }
    done = {
        "sampling runs": len({draws for p in graph.trained for draws in graph.feeds(p)}),
        "fine-tunings": len(graph.trained),
        "evaluations": len(graph.evaluations()),
    }
    return {name: {"by itself": naive[name], "shared": done[name]} for name in naive}


def _alone(graph: StudyGraph, experiment: Experiment) -> tuple[list[Policy], int]:
    """Return the policies that an experiment needs, ancestors included, and its evaluations."""
    waiting, names = list(experiment.variants), set[str]()
    while waiting:
        name = waiting.pop()
        names.add(name)
        variant = graph.study.variants[name]
        taught = variant.teacher.variant if variant.teacher else None
        waiting += [parent for parent in (variant.sft, taught) if parent and parent not in names]
    stated = [policy for policy in graph.stated if policy.variant in names]
    return stated, sum(1 for e in experiment.evaluations for _ in graph.evaluated(e))
