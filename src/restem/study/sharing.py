"""Who uses which artifact: what a policy, a variant or an experiment costs, alone and shared."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from restem.accounts.costs import Use
from restem.config.experiment import Experiment
from restem.study.addresses import BASE, Draws, Policy
from restem.study.graph import StudyGraph


def groups(graph: StudyGraph) -> dict[str, dict[str, list[Use]]]:
    """List the uses that the ledger adds up, by scope (study, experiment ...) and name."""
    everything = [draws.path for draws in graph.sampled()]
    everything += [policy.path for policy in policies_of(graph)]
    return {
        "study": {graph.study.study: [Use(path=path) for path in everything]},
        "experiment": {
            name: _spent(graph, _of_experiment(graph, name), _evaluated(graph, experiment))
            for name, experiment in graph.study.experiments.items()
        },
        "variant": {name: _spent_on(graph, name) for name in graph.study.variants},
        "policy": dict(_by_policy(graph)),
    }


def last_names(graph: StudyGraph) -> dict[str, str]:
    """Map names of policies that claims use, such as S/sft/last, to those with a number."""
    lasts = [policy for policy in graph.stated if graph.is_last(policy)]
    return {f"{p.model}/{p.variant}/last": f"{p.model}/{p.variant}/{p.iteration}" for p in lasts}


def policies_of(graph: StudyGraph) -> list[Policy]:
    """List the base policies and the trained ones."""
    return [*map(graph.base, graph.study.models), *graph.trained]


def ancestry(graph: StudyGraph, policy: Policy) -> Iterator[Use]:
    """Name everything that was used to make a policy, back to the base model.

    Of completions that several policies share, a use is of the draws and problems that the policy's
    selection looked at.
    """
    waiting, seen = [graph.owner(policy)], set[Policy]()
    while waiting:
        mine = waiting.pop()
        if mine in seen:
            continue
        seen.add(mine)
        yield Use(path=mine.path)
        if mine.variant == BASE:
            continue
        waiting += [graph.start(mine), *(graph.owner(a) for a in graph.averaged_with(mine))]
        uses = looked_at(graph, mine)
        waiting += [draws.policy for draws in graph.feeds(mine)]
        yield from uses


def looked_at(graph: StudyGraph, policy: Policy) -> list[Use]:
    """Return what a policy's selection looks at of each of its sources."""
    selection = graph.selection(policy)
    uses = []
    for source, draws in zip(graph.sources(policy), graph.feeds(policy), strict=True):
        wanted = graph.wanted_draws(policy, source)
        part = wanted < graph.count(draws)
        use = Use(
            path=draws.path,
            draws=wanted if part else None,
            problem_share=selection.problem_share,
            problems=selection.problems,
        )
        uses.append(use)
    return uses


@lru_cache(maxsize=1)
def parts(graph: StudyGraph) -> dict[str, list[Use]]:
    """Return the uses of parts of completions, by the completions' address; each once."""
    by_path: dict[str, list[Use]] = {}
    for policy in graph.trained:
        for use in looked_at(graph, policy):
            if use != Use(path=use.path) and use not in by_path.setdefault(use.path, []):
                by_path[use.path].append(use)
    return by_path


def any_problems_left(uses: Iterable[Use]) -> bool:
    """Tell whether some use leaves out problems, so that their order matters."""
    return any(use.problem_share < 1 or use.problems is not None for use in uses)


def _by_policy(graph: StudyGraph) -> Iterator[tuple[str, list[Use]]]:
    """Name policies as claims do; a seed stands for all, for their costs are alike."""
    seed = graph.study.seeds[0]
    for model in graph.study.models:
        yield f"{model}/{BASE}", [Use(path=graph.base(model).path)]
    for policy in graph.stated:
        if policy.seed == seed:
            name = f"{policy.model}/{policy.variant}/{policy.iteration}"
            yield name, list(ancestry(graph, policy))


def _of_experiment(graph: StudyGraph, name: str) -> list[Policy]:
    variants = graph.study.experiments[name].variants
    return [policy for policy in graph.stated if policy.variant in variants]


def _evaluated(graph: StudyGraph, experiment: Experiment) -> list[Draws]:
    return [draws for e in experiment.evaluations for draws in graph.evaluated(e)]


def _spent_on(graph: StudyGraph, variant: str) -> list[Use]:
    """Return what a variant used, with all evaluations of its policies."""
    policies = [policy for policy in graph.stated if policy.variant == variant]
    owners = {graph.owner(policy) for policy in policies}
    evaluated = [draws for draws in graph.evaluations() if draws.policy in owners]
    return _spent(graph, policies, evaluated)


def _spent(graph: StudyGraph, policies: Iterable[Policy], evaluated: Iterable[Draws]) -> list[Use]:
    """Return what some policies and some evaluations used, each use once."""
    owners = dict.fromkeys(graph.owner(policy) for policy in policies)
    made = [use for policy in owners for use in ancestry(graph, policy)]
    return list(dict.fromkeys([*made, *(Use(path=draws.path) for draws in evaluated)]))


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
