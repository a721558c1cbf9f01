"""The slice of the configuration that each stage reads: nothing else makes its artifacts stale.

One function for each stage, of the same name: from the graph of the study and the wildcards of a
job to the settings that the stage's command gets.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from restem.accounts.sizes import stated_problems
from restem.config.experiment import Experiment, Figure
from restem.config.models import notes_on_data
from restem.config.study import Study
from restem.errors import RestemError, nearest
from restem.study.addresses import Draws, Policy
from restem.study.comparisons import main_variants
from restem.study.figure_needs import kept_rows
from restem.study.graph import StudyGraph
from restem.study.page import compared, facts, figures_of_page
from restem.study.sharing import groups, last_names, parts, sharing
from restem.tasks.registry import load_task

Settings = dict[str, Any]
COMPARING = ("math",)  # verifiers that tell of any two answers whether they are equal
QUESTIONS = "selection.problem_share"  # a share that figures show as a number of problems


def of_stage(name: str) -> Callable[[StudyGraph, Any], Settings]:
    """Return the function of a stage. Raises RestemError if it has none."""
    found: Callable[[StudyGraph, Any], Settings] | None = globals().get(name)
    if found is None:
        raise RestemError(
            f"the stage {name!r} has no slice of the configuration",
            __file__,
            f"write a function {name}(graph, wildcards) there",
        )
    return found


def problems(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what loading one split reads."""
    return graph.problems_settings(wildcards.task, wildcards.split)


def overlap(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the names of the compared tables, in order."""
    return {"tables": [[task, split] for task, split in graph.splits()]}


def base(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return where a base model comes from."""
    return graph.base_settings(wildcards.model)


def samples(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return how completions are sampled, or searched for."""
    return graph.samples_settings(Draws.of(wildcards))


def rewards(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return how completions are verified."""
    by_hand = {"by_hand": True} if graph.by_hand(wildcards.on) else {}
    return graph.rewards_settings(wildcards.on, wildcards.split) | by_hand


def sheet(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return where the rubric is, if the task says it."""
    rubric = load_task(graph.module(wildcards.on)).rubric
    return {"rubric": rubric} if rubric else {}


def examples(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return how the examples of a policy are selected."""
    return graph.examples_settings(Policy.of(wildcards))


def policy(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what the M-step of a policy reads."""
    return graph.policy_settings(Policy.of(wildcards))


def metrics(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the address that the metrics of some completions carry, and who compares votes."""
    draws = Draws.of(wildcards)
    address = asdict(draws.policy) | {"train_task": draws.policy.task}
    address |= {"task": draws.task, "split": draws.split, "decoding": draws.decoding}
    greedy = graph.study.decodings[draws.decoding].greedy
    return address | {"greedy": greedy} | ({} if greedy else _equality(graph, draws))


def _equality(graph: StudyGraph, draws: Draws) -> Settings:
    """Return what decides which answers vote together; nothing where they are equal as texts."""
    verification = graph.rewards_settings(draws.task, draws.split)
    votes = [k for k in graph.study.metrics.votes if k <= graph.count(draws)]
    if not votes or verification["verifier"] not in COMPARING:
        return {}
    return {name: verification[name] for name in ("verifier", "reward")}


def summary(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the estimators, which names share an artifact, and the reference variants."""
    return _estimators(graph) | {"references": graph.study.references}


def _estimators(graph: StudyGraph) -> Settings:
    aliases = [[asdict(owner), asdict(alias)] for owner, alias in graph.aliases]
    estimators = graph.metrics.model_dump(mode="json", exclude_defaults=True)
    return {"metrics": estimators, "aliases": aliases}


def breakdown(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what estimates in groups of problems read."""
    return summary(graph, wildcards)


def claims(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the claims that are tested."""
    tested = graph.study.tested_claims
    listed = [claim.model_dump(mode="json", exclude_defaults=True) for claim in tested]
    policies = [[asdict(alias) for alias in names] for names in rechecked(graph).values()]
    more = {"rechecked": policies} if policies else {}
    return _estimators(graph) | {"label": graph.label, "claims": listed} | more


def costs(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the addresses of a policy and of all completions sampled from it."""
    counted = Policy.of(wildcards)
    drawn = [draws.path for draws in graph.sampled_from(counted)]
    used = parts(graph)
    of_drawn = [
        use.model_dump(exclude_defaults=True) for path in drawn for use in used.get(path, ())
    ]
    return {"policy": counted.path, "draws": drawn} | ({"parts": of_drawn} if of_drawn else {})


def ledger(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what the ledger adds up: everything that cost something, and who used it.

    Uses are sorted, so that the order of keys in a study changes nothing.
    """
    listed = {
        scope: {
            name: sorted((use.model_dump(exclude_defaults=True) for use in uses), key=str)
            for name, uses in of_scope.items()
        }
        for scope, of_scope in groups(graph).items()
    }
    return {"label": graph.label, "groups": listed, "aliases": last_names(graph)}


def recheck(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what a second verdict on a policy's examples reads."""
    checked = Policy.of(wildcards)
    return {
        **graph.rewards_settings(checked.task, "train"),
        "sources": [[source.name, source.age] for source in graph.sources(checked)],
        **graph.study.false_positives.model_dump(mode="json"),
    }


def false_positives(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return whose rechecks there are, in order."""
    return {
        "label": graph.label,
        "metrics": graph.study.metrics.model_dump(mode="json", include={"confidence"}),
        "without": without_second_verdict(graph),
        "policies": [[asdict(alias) for alias in names] for names in rechecked(graph).values()],
    }


def rechecked(graph: StudyGraph) -> dict[Policy, list[Policy]]:
    """Map the policies whose examples get a second verdict to their names.

    These are the policies trained on a model's own solutions, where something can judge the task
    a second time. Raises RestemError when a study asks for second verdicts and can have none.
    """
    if not graph.study.false_positives.sample:
        return {}
    without, names = without_second_verdict(graph), dict[Policy, list[Policy]]()
    for stated in graph.stated:
        selects = graph.selection(stated).model_data and graph.feeds(stated)
        if selects and stated.task not in without:
            names.setdefault(graph.owner(stated), []).append(stated)
    if not names:
        reasons = "; ".join(f"task {task}: {reason}" for task, reason in without.items())
        raise RestemError(
            "there is nothing to judge a second time",
            f"false_positives.sample; {reasons}",
            "correct that, train a variant on a model's solutions, or set the sample to 0",
        )
    return names


def without_second_verdict(graph: StudyGraph) -> dict[str, str]:
    """Say of every task that is trained on, but has no second verdict, why not."""
    reasons = {}
    for task in sorted({variant.task for variant in graph.study.variants.values()}):
        verifier = graph.rewards_settings(task, "train")["verifier"]
        if verifier == "code" and not graph.study.tasks[task].reward.code.held_back:
            reasons[task] = "all tests decide the reward (set reward.code.held_back)"
        elif verifier not in ("code", "math"):
            reasons[task] = f"nothing checks the verifier {verifier}"
    return reasons


def figures_of_experiments(graph: StudyGraph) -> dict[str, tuple[Experiment, Figure]]:
    """Return the figures of all experiments by name."""
    experiments = graph.study.experiments.values()
    return {name: (e, figure) for e in experiments for name, figure in e.figures.items()}


def figure(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what one figure shows: of an experiment, or of the whole study.

    Raises RestemError with the nearest name when the study has no such figure.
    """
    name, of_experiments = wildcards.figure, figures_of_experiments(graph)
    if name in of_experiments:
        return _figure_of_experiment(graph, *of_experiments[name])
    if name in graph.study.figures:
        settings = table(graph, wildcards)
        return {"figure": name, "train_task": next(iter(settings["trained"])), **settings}
    raise RestemError(
        f"no figure {name!r}{nearest(name, [*of_experiments, *graph.study.figures])}",
        f"study {graph.study.study}",
        "list it in `figures`, or list its experiment in `experiments`",
    )


def _figure_of_experiment(graph: StudyGraph, experiment: Experiment, wanted: Figure) -> Settings:
    variants = list(experiment.variants) if wanted.variants is None else wanted.variants
    train_task = wanted.trained_on or next(v.task for v in experiment.variants.values())
    tasks = {graph.module(task): task for task in graph.study.tasks}
    entries = [graph.published["entries"][key] for key in wanted.published]
    marks = [
        {"task": tasks[e["task"]], "value": e["value"], "label": e["label"]}
        for e in entries
        if e["task"] in tasks
    ]
    x_axis = _x_axis(graph, variants, wanted.x, train_task) if wanted.x else {}
    return {
        "figure": wanted.module,
        "table": wanted.table,
        "label": graph.label,
        "train_task": train_task,
        "confidence": graph.study.metrics.confidence,
        "references": graph.study.references,
        "kept": kept_rows(experiment, wanted),
        "options": wanted.options | x_axis,
        "marks": marks,
        "unmarked": sum(e["task"] not in tasks for e in entries),
        **({"cited": _cited(graph, wanted)} if wanted.cited else {}),
    }


def _cited(graph: StudyGraph, wanted: Figure) -> Settings:
    """Return by task the numbers that others published, each with its source in full."""
    lists, sources = graph.published["cited"], graph.published["sources"]
    return {
        task: {
            "title": lists[name]["title"],
            "points": [p | {"source": sources[p["source"]]} for p in lists[name]["points"]],
        }
        for task, name in wanted.cited.items()
    }


def _x_axis(graph: StudyGraph, variants: list[str], key: str, task: str) -> Settings:
    """Return each variant's place on the x axis; a share of problems as their number, if known."""
    numbers = {variant: graph.study.number_at(variant, key) or 0.0 for variant in variants}
    if key == QUESTIONS:
        data = graph.study.tasks[task].data
        questions = stated_problems(load_task(graph.module(task)), data, "train")
        if questions is not None:
            return {"x": {v: round(n * questions) for v, n in numbers.items()}, "counts": True}
    return {"x": numbers}


def table(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what every presentation reads: label, trained tasks, references, confidence."""
    trained: dict[str, list[str]] = {}
    for name, variant in graph.study.variants.items():
        trained.setdefault(variant.task, []).append(name)
    trained = trained or {evaluation.task: [] for evaluation in graph.study.evaluations}
    return {
        "label": graph.label,
        "trained": {task: sorted(names) for task, names in trained.items()},
        "references": graph.study.references,
        "confidence": graph.study.metrics.confidence,
    }


def methods(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return the presets as configured, and what papers say of theirs."""
    stated = sorted(graph.study.methods.items())
    return {
        "methods": {
            n: m.model_dump(mode="json", exclude_unset=True, exclude={"paper", "deviations"})
            for n, m in stated
        },
        "temperatures": {n: d.temperature for n, d in graph.study.decodings.items()},
        "cited": graph.published["publications"],
    }


def changes(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return whose solutions are compared, problem by problem."""
    return compared(graph)


def page(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return what the page of a study shows besides estimates, costs and solutions."""
    return {
        **table(graph, wildcards),
        "study": graph.study.study,
        "description": graph.study.description,
        "facts": facts(graph),
        "notes": notes_on_data(graph.study.models.values(), graph.published.get("families", {})),
        "figures": [asdict(figure) for figure in figures_of_page(graph)],
        "main": main_variants(graph),
        "compared": compared(graph)["compared"],
        "claims": [claim.model_dump(mode="json") for claim in graph.study.tested_claims],
        "sharing": sharing(graph),
        "splits": graph.splits(),
    }


def tracking(graph: StudyGraph, wildcards: Any) -> Settings:
    """Return where runs are published, and what MLflow is told about each variant's method."""
    where = graph.study.tracking.model_dump(mode="json", exclude_defaults=True)
    methods = {name: _method(graph.study, name) for name in graph.study.variants}
    return {
        "study": graph.study.study,
        "label": graph.label,
        "tracking": where,
        "methods": methods,
    }


def _method(study: Study, variant: str) -> Settings:
    """Return the parameters of a variant's method that its training settings do not state."""
    method = study.method_of(variant)
    stated = method.model_dump(
        mode="json", exclude_defaults=True, include={"e_step", "selection", "start", "m_step"}
    )
    stated["method"] = study.variants[variant].method
    if method.e_step:
        decoding = study.decodings[method.e_step.decoding]
        stated["decoding"] = decoding.model_dump(mode="json", exclude_defaults=True)
    return stated
