"""What a figure needs to be plotted, read from its module's source, and whether a study has it.

The source is parsed, not imported: importing a figure would import matplotlib.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import restem.figures
from restem.config.experiment import Experiment, Figure
from restem.errors import nearest
from restem.study.addresses import BASE

if TYPE_CHECKING:
    from restem.study.graph import StudyGraph


@dataclass(frozen=True)
class Needs:
    """The options of a module's function `plot`, their defaults, and its constants.

    A module shows the splits of its constant SPLITS, else that of its option `split`; the quantity
    of its constant QUANTITY, else that of its option `quantity`; groups of the kind of its constant
    KIND, else of its option `kind`.
    """

    options: tuple[str, ...]
    defaults: dict[str, Any] = field(default_factory=dict)

    def splits(self, options: Mapping[str, Any]) -> Sequence[str]:
        """Return the splits that are shown; none if the module does not say."""
        split = (self.defaults | dict(options)).get("split")
        stated: Sequence[str] = self.defaults.get("SPLITS", ())
        return stated or ([split] if split else [])

    def quantity(self, options: Mapping[str, Any]) -> str | None:
        """Return the quantity that is shown; `pass@` stands for all k."""
        named = self.defaults | dict(options)
        quantity: str | None = named.get("QUANTITY") or named.get("quantity")
        return quantity


@cache
def figure_needs() -> dict[str, Needs]:
    """Map every module of restem.figures that defines `plot` to what it needs."""
    folder = Path(restem.figures.__path__[0])
    needs = {path.stem: _needs(ast.parse(path.read_text())) for path in sorted(folder.glob("*.py"))}
    return {name: stated for name, stated in needs.items() if stated}


def _needs(module: ast.Module) -> Needs | None:
    plots = [n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == "plot"]
    if not plots:
        return None
    stated = plots[-1].args
    options = tuple(argument.arg for argument in [*stated.args, *stated.kwonlyargs])
    pairs = [(a.arg, d) for a, d in zip(stated.kwonlyargs, stated.kw_defaults, strict=True) if d]
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            pairs.append((node.target.id, node.value))
    return Needs(options, {name: v for name, node in pairs if (v := _literal(node)) is not None})


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


@dataclass(frozen=True)
class Result:
    """One evaluated policy: the address and the quantities of its rows in the summary."""

    task: str
    split: str
    decoding: str
    model: str
    variant: str
    quantities: tuple[str, ...]
    by_hand: bool

    def has(self, quantity: str | None) -> bool:
        """Tell whether it has a quantity, or any k of one such as `pass@`."""
        return quantity is None or any(quantity in (q, _kind(q)) for q in self.quantities)


def _kind(quantity: str) -> str:
    return quantity.split("@")[0] + "@"


def results(graph: "StudyGraph") -> list[Result]:
    """List what the study's evaluations will measure, under every name of a policy."""
    found = [
        Result(e.task, e.split, e.decoding, model, variant, quantities, graph.by_hand(e.task))
        for e in graph.study.evaluations
        for quantities in [_quantities(graph, e.decoding)]
        for model in graph.study.models_on(e.task, e.models)
        for variant in [BASE, *graph.study.variants]
        if variant == BASE or _is_evaluated(graph, e.variants, variant, model)
    ]
    return list(dict.fromkeys(found))


def _is_evaluated(graph: "StudyGraph", wanted: list[str] | None, variant: str, model: str) -> bool:
    stated = graph.study.variants[variant]
    trained = graph.study.models_on(stated.task, stated.models)
    return (wanted is None or variant in wanted) and model in trained


def _quantities(graph: "StudyGraph", decoding: str) -> tuple[str, ...]:
    stated, metrics = graph.study.decodings[decoding], graph.metrics
    if stated.greedy:
        return ("accuracy",)
    passes = [f"pass@{k}" for k in metrics.ks if k <= stated.draws]
    votes = [f"maj@{k}" for k in metrics.votes if k <= stated.draws]
    return (*passes, *votes, *(f"distinct@{k}" for k in metrics.distinct if k <= stated.draws))


def bad_figures(graph: "StudyGraph") -> Iterator[str]:
    """Describe the figures of a study that cannot be plotted."""
    for name in graph.figures:
        yield from _bad_figure(graph, f"figures: {name}", Figure(module=name), None)
    for title, experiment in graph.study.experiments.items():
        for name, figure in experiment.figures.items():
            path = f"experiments.{title}.figures.{name}"
            yield from _bad_figure(graph, path, figure, experiment)


def is_plotted(graph: "StudyGraph", name: str) -> bool:
    """Tell whether the evaluations give a figure of the whole study what it needs."""
    return not any(_bad_figure(graph, name, Figure(module=name), None))


def _bad_figure(
    graph: "StudyGraph", path: str, figure: Figure, experiment: Experiment | None
) -> Iterator[str]:
    known = figure_needs()
    if figure.module not in known:
        yield (
            f"{path}: there is no figure {figure.module!r}{nearest(figure.module, known)}; name "
            "another module of restem.figures, or define a function plot in this one"
        )
        return
    needs, wrong = known[figure.module], False
    for option in [*figure.options, *(["x"] if figure.x else [])]:
        if option not in needs.options:
            wrong = True
            hint = nearest(option, needs.options)
            yield f"{path}: figure {figure.module} has no option {option!r}{hint}, or leave it out"
    if wrong:
        return
    unknown = [name for name in figure.published if name not in graph.published.get("entries", ())]
    if graph.published and unknown:
        hint = nearest(unknown[0], graph.published["entries"])
        yield f"{path}.published: {unknown[0]!r} is not in config/paper/published.yaml{hint}"
    yield from _bad_citations(graph, path, figure, needs)
    if experiment and not experiment.variants and figure.trained_on is None:
        yield f"{path}.trained_on: the experiment has no variants, so name the task here"
    if figure.table == "breakdown":
        kind = needs.defaults.get("KIND", figure.options.get("kind"))
        yield from _bad_groups(graph, path, kind)
    shown = [r for r in graph.results if _is_shown(r, figure, experiment)]
    quantity, options = needs.quantity(figure.options), figure.options
    splits = needs.splits(options)
    if "against" in options:
        yield from _bad_axes(shown, path, options)
    elif figure.table != "false_positives":
        for decoding in options.get("decodings") or [options.get("decoding")]:
            sampled = [r for r in shown if decoding in (None, r.decoding)]
            yield from _unmeasured(graph, sampled, path, splits, quantity)


def _bad_citations(graph: "StudyGraph", path: str, figure: Figure, needs: Needs) -> Iterator[str]:
    """Describe lists of cited numbers that do not exist, or that the figure cannot show."""
    if figure.cited and "cited" not in needs.options:
        yield f"{path}.cited: figure {figure.module} shows no cited numbers; leave it out"
    known = graph.published.get("cited", {})
    for task, name in figure.cited.items():
        if graph.published and name not in known:
            hint = nearest(name, known)
            yield f"{path}.cited: {name!r} is not in config/paper/published.yaml{hint}"
        if task not in graph.study.tasks:
            hint = nearest(task, graph.study.tasks)
            yield f"{path}.cited: task {task!r} is not defined{hint}"


def kept_rows(experiment: Experiment, figure: Figure) -> dict[str, list[str]]:
    """Return the values by column of the estimates that a figure of an experiment shows."""
    variants = list(experiment.variants) if figure.variants is None else figure.variants
    shown = {"task": figure.tasks, "variant": [BASE, *variants], "model": figure.models}
    shown["decoding"] = figure.decodings
    return {column: values for column, values in shown.items() if values is not None}


def _is_shown(result: Result, figure: Figure, experiment: Experiment | None) -> bool:
    kept = kept_rows(experiment or Experiment(title=""), figure)
    if experiment is None:
        del kept["variant"]
    return all(getattr(result, column) in values for column, values in kept.items())


def _bad_groups(graph: "StudyGraph", path: str, kind: Any) -> Iterator[str]:
    listed = graph.metrics.breakdowns
    if kind is not None and kind not in listed:
        draws = ", and evaluate the base model with metrics.difficulty"
        more = draws if kind == "difficulty" else ""
        yield f"{path}: it shows groups by {kind}; add {kind} to metrics.breakdowns{more}"


def _bad_axes(shown: Sequence[Result], path: str, options: Mapping[str, Any]) -> Iterator[str]:
    axes = {"exam": None, "against": "accuracy"}
    for axis, quantity in axes.items():
        task = options.get(axis)
        of_axis = [r for r in shown if r.task == task and r.split == "test" and r.has(quantity)]
        if task is not None and not of_axis:
            kind = "a greedy evaluation" if quantity else "an evaluation"
            yield (
                f"{path}: its axis `{axis}` is {task}, which has no result that it shows; add "
                f"{kind} of {task} on test"
            )


def _unmeasured(
    graph: "StudyGraph",
    shown: Sequence[Result],
    path: str,
    splits: Sequence[str],
    quantity: str | None,
) -> Iterator[str]:
    """Describe what no evaluation gives, and decodings between which the figure cannot choose."""
    fitting = [r for r in shown if r.by_hand or r.has(quantity)]
    kind = {
        "accuracy": "a greedy ",
        "pass@": "a sampled ",
        "maj@": "a sampled ",
        "distinct@": "a sampled ",
    }
    article = kind.get(quantity or "", "an ")
    named = f" of {quantity.rstrip('@')}" if quantity else ""
    missing = [split for split in splits if all(r.split != split for r in fitting)]
    for split in missing:
        yield (
            f"{path}: it shows results{named} on {split}, and no evaluation gives what it shows; "
            f"add {article}evaluation on {split}, or leave the figure out"
        )
    if missing:
        return
    if len(splits) > 1 and not _on_all(graph, fitting, splits):
        yield (
            f"{path}: no method is evaluated on both {' and '.join(splits)}; evaluate one task, "
            "model and variant on both, or leave the figure out"
        )
    decodings = sorted({r.decoding for r in fitting if r.split in splits and not r.by_hand})
    if quantity is not None and len(decodings) > 1:
        yield (
            f"{path}: results of several decodings fit it: {', '.join(decodings)}; show it in an "
            "experiment, whose figure names one of them under `decodings`"
        )


def _on_all(graph: "StudyGraph", fitting: Sequence[Result], splits: Sequence[str]) -> bool:
    """Tell whether some method, not a reference, has results on all splits."""
    methods = {
        split: {
            (r.task, r.model, r.variant)
            for r in fitting
            if r.split == split and r.variant not in (BASE, *graph.study.references)
        }
        for split in splits
    }
    return bool(set.intersection(*methods.values()))
