"""What the pages of a study read: which artifacts stand behind each policy, variant, experiment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from restem.config.errors import nearest
from restem.config.experiment import Experiment, Plot
from restem.errors import RestemError
from restem.study.addresses import BASE, Policy
from restem.study.graph import Walk


def breakdown_settings(walk: Walk) -> dict[str, Any]:
    """Return what estimates in groups read."""
    return walk.summary_settings()


def claims_settings(walk: Walk) -> dict[str, Any]:
    """Return what the claims read."""
    claims = [
        claim.model_dump(mode="json", exclude_defaults=True) for claim in walk.study.tested_claims
    ]
    return {**walk.summary_settings(), "note": walk.note, "claims": claims}


def ledger_settings(walk: Walk) -> dict[str, Any]:
    """Return what the ledger adds up: everything that cost something, and who used it."""
    everything = [draws.path for draws in walk.sampled()]
    everything += [policy.path for policy in policies_of(walk)]
    groups = {
        "study": {walk.study.study: everything},
        "experiment": {
            name: list(_spent(walk, _of_experiment(walk, name))) for name in walk.study.experiments
        },
        "variant": {
            name: list(_spent(walk, [p for p in walk.stated if p.variant == name]))
            for name in walk.study.variants
        },
        "policy": dict(_by_policy(walk)),
    }
    return {"note": walk.note, "groups": groups}


def costs_settings(walk: Walk, policy: Policy) -> dict[str, Any]:
    """Return what a policy's costs are of: itself, and all completions drawn from it."""
    return {"policy": policy.path, "draws": [draws.path for draws in walk.drawn_from(policy)]}


def policies_of(walk: Walk) -> list[Policy]:
    """List the base policies and the trained ones."""
    return [*map(walk.base, walk.study.models), *walk.trained]


def ancestry(walk: Walk, policy: Policy) -> Iterator[str]:
    """Name everything that was drawn or trained to make a policy, back to the base model."""
    waiting, seen = [walk.owner(policy)], set[Policy]()
    while waiting:
        mine = waiting.pop()
        if mine in seen:
            continue
        seen.add(mine)
        yield mine.path
        if mine.variant == BASE:
            continue
        waiting += [walk.start(mine), *(walk.owner(a) for a in walk.anchors(mine))]
        for draws in walk.feeds(mine):
            waiting.append(draws.policy)
            yield draws.path


def _by_policy(walk: Walk) -> Iterator[tuple[str, list[str]]]:
    """Name policies as claims do; a seed stands for all, for their costs are alike."""
    seed = walk.study.seeds[0]
    for model in walk.study.models:
        yield f"{model}/{BASE}", [walk.base(model).path]
    for policy in walk.stated:
        if policy.seed != seed:
            continue
        paths = list(ancestry(walk, policy))
        yield f"{policy.model}/{policy.variant}/{policy.iteration}", paths
        if walk.is_last(policy):
            yield f"{policy.model}/{policy.variant}/last", paths


def _of_experiment(walk: Walk, name: str) -> list[Policy]:
    variants = walk.study.experiments[name].variants
    return [policy for policy in walk.stated if policy.variant in variants]


def _spent(walk: Walk, policies: Iterable[Policy]) -> Iterator[str]:
    """Name what some policies and their evaluations took, each artifact once."""
    owners = {walk.owner(policy) for policy in policies}
    made = (path for policy in owners for path in ancestry(walk, policy))
    drawn = (draws.path for draws in walk.evaluations() if draws.policy in owners)
    yield from dict.fromkeys([*sorted(made), *drawn])


def audited(walk: Walk) -> dict[Policy, list[Policy]]:
    """Map the policies whose examples are audited to their names; none without an audit.

    Those trained on solutions of a model are, where their task has a second judge. Raises
    RestemError when an audit is asked for and no task has one.
    """
    if not walk.study.audit.sample:
        return {}
    without, found = unjudged(walk), dict[Policy, list[Policy]]()
    for policy in walk.stated:
        selects = walk.selection(policy).model_data and walk.feeds(policy)
        if selects and policy.task not in without:
            found.setdefault(walk.owner(policy), []).append(policy)
    if not found:
        raise RestemError(
            "there is nothing to audit",
            f"audit.sample; {'; '.join(f'task {name}: {why}' for name, why in without.items())}",
            "correct that, train a variant on solutions of a model, or set audit.sample to 0",
        )
    return found


def unjudged(walk: Walk) -> dict[str, str]:
    """Say of every task that variants are trained on, but that has no second judge, why not."""
    found = {}
    for task in sorted({variant.task for variant in walk.study.variants.values()}):
        settings = walk.rewards_settings(task, "train")
        if settings["verifier"] == "code" and not walk.study.tasks[task].reward.code.held_back:
            found[task] = "all tests decide the reward (set reward.code.held_back)"
        elif settings["verifier"] not in ("code", "math"):
            found[task] = f"nothing checks the verifier {settings['verifier']}"
    return found


def recheck_settings(walk: Walk, policy: Policy) -> dict[str, Any]:
    """Return what a second judgement of a policy's examples reads."""
    audit = walk.study.audit
    return {
        **walk.rewards_settings(policy.task, "train"),
        "sources": [[source.name, source.age] for source in walk.sources(policy)],
        **audit.model_dump(mode="json"),
    }


def audits_settings(walk: Walk) -> dict[str, Any]:
    """Return what the rates of false positives read: whose rechecks there are, in order."""
    metrics = walk.study.metrics.model_dump(mode="json", include={"confidence"})
    policies = [[asdict(policy) for policy in names] for names in audited(walk).values()]
    told = {"note": walk.note, "metrics": metrics, "without": unjudged(walk)}
    return {**told, "policies": policies}


def plots(walk: Walk) -> dict[str, tuple[Experiment, Plot]]:
    """Return the figures of all experiments by name."""
    found = walk.study.experiments.values()
    return {name: (e, figure) for e in found for name, figure in e.figures.items()}


def plot(walk: Walk, name: str) -> Plot:
    """Return one figure. Raises RestemError with the nearest name when there is none."""
    known = plots(walk)
    if name not in known:
        raise RestemError(
            f"no experiment has a figure {name!r}{nearest(name, known)}",
            f"study {walk.study.study}",
            "list its experiment in the study's `experiments`",
        )
    return known[name][1]


def plot_settings(walk: Walk, published: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what one figure of an experiment reads."""
    experiment, wanted = plots(walk)[name]
    variants = [BASE, *(experiment.variants if wanted.variants is None else wanted.variants)]
    home = wanted.trained_on or next(v.task for v in experiment.variants.values())
    kept = {"task": wanted.tasks, "variant": variants, "model": wanted.models}
    module_of = {walk.module(task): task for task in walk.study.tasks}
    entries = [published["entries"][key] for key in wanted.published]
    marks = [
        {"task": module_of[e["task"]], "value": e["value"], "label": e["label"]}
        for e in entries
        if e["task"] in module_of
    ]
    return {
        "figure": wanted.module,
        "table": wanted.table,
        "note": walk.note,
        "home": home,
        "confidence": walk.study.metrics.confidence,
        "kept": {k: v for k, v in {**kept, "decoding": wanted.decodings}.items() if v is not None},
        "options": wanted.options,
        "marks": marks,
        "unmarked": sum(e["task"] not in module_of for e in entries),
    }


def methods_settings(walk: Walk, published: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the table of methods reads: the presets, as configured."""
    methods = sorted(walk.study.methods.items())
    return {
        "methods": {n: m.model_dump(mode="json", exclude_unset=True) for n, m in methods},
        "temperatures": {n: d.temperature for n, d in walk.study.decodings.items()},
        "cited": published["publications"],
    }


def page_settings(walk: Walk) -> dict[str, Any]:
    """Return what the page reads besides tables and figures."""
    figures = [
        {"name": name, "title": experiment.title, "caption": experiment.caption}
        for name, (experiment, _) in plots(walk).items()
    ]
    return {
        "study": walk.study.study,
        "description": walk.study.description,
        "note": walk.note,
        "figures": figures,
        "claims": [claim.model_dump(mode="json") for claim in walk.study.tested_claims],
        "confidence": walk.study.metrics.confidence,
        "sharing": sharing(walk),
        "seeds": len(walk.study.seeds),
        "more": ["audit.parquet", "audit.md"] if audited(walk) else [],
    }


def sharing(walk: Walk) -> dict[str, dict[str, int]]:
    """Count the work of every experiment by itself, and as it is done: each artifact once.

    All counts are for the whole study; divide by its seeds for those of one. A study without
    experiments counts its variants by themselves.
    """
    alone = [_alone(walk, e) for e in walk.study.experiments.values()]
    if not alone:
        alone = [(walk.stated, sum(1 for _ in walk.all_evaluated()))]
    naive = {
        "sampling runs": sum(len(walk.sources(p)) for stated, _ in alone for p in stated),
        "fine-tunings": sum(len(stated) for stated, _ in alone),
        "evaluations": sum(evaluations for _, evaluations in alone),
    }
    done = {
        "sampling runs": len({draws for p in walk.trained for draws in walk.feeds(p)}),
        "fine-tunings": len(walk.trained),
        "evaluations": len(walk.evaluations()),
    }
    return {name: {"by itself": naive[name], "shared": done[name]} for name in naive}


def _alone(walk: Walk, experiment: Experiment) -> tuple[list[Policy], int]:
    """Return the policies that an experiment needs, ancestors included, and its evaluations."""
    waiting, names = list(experiment.variants), set[str]()
    while waiting:
        name = waiting.pop()
        names.add(name)
        variant = walk.study.variants[name]
        taught = variant.teacher.variant if variant.teacher else None
        waiting += [parent for parent in (variant.sft, taught) if parent and parent not in names]
    stated = [policy for policy in walk.stated if policy.variant in names]
    return stated, sum(1 for e in experiment.evaluations for _ in walk.evaluated(e))
