"""What the page of a study says of the study, and which figures it shows with which values."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from restem.artifacts.schemas.loop import HUMAN
from restem.config.data import DataSource, ReasoningGymSource
from restem.config.experiment import Experiment, Figure
from restem.config.models import EmbeddedModel, HubModel, LocalModel, Model
from restem.config.training import Training
from restem.study.comparisons import SPLIT, comparisons, main_variants
from restem.study.figure_needs import figure_needs, kept_rows
from restem.study.graph import StudyGraph

_SHOWN = 60  # problems that a page shows in full, of all comparisons and kinds
_OF_A_KIND = 5  # at most, in one comparison

Fact: TypeAlias = tuple[str, list[str]]


@dataclass(frozen=True)
class PageFigure:
    """A figure of the page, and which estimates it is plotted from.

    table: the kind of the table of estimates. kept: the wanted values by column.
    """

    name: str
    title: str
    caption: str = ""
    table: str = "summary"
    kept: dict[str, list[str]] = field(default_factory=dict)
    quantity: str | None = None


def figures_of_page(graph: StudyGraph) -> list[PageFigure]:
    """List the figures of a study: those of the whole study, then those of its experiments."""
    of_study = [_figure(name, Figure(module=name), None) for name in graph.figures]
    experiments = graph.study.experiments.values()
    return of_study + [_figure(n, f, e) for e in experiments for n, f in e.figures.items()]


def _figure(name: str, stated: Figure, experiment: Experiment | None) -> PageFigure:
    needs = figure_needs()[stated.module]
    kept = kept_rows(experiment, stated) if experiment else {}
    if splits := list(needs.splits(stated.options)):
        kept["split"] = splits
    named = needs.defaults | stated.options
    decodings = named.get("decodings") or [named.get("decoding")]
    if all(decodings):
        kept["decoding"] = decodings
    if stated.table == "breakdown" and (kind := named.get("KIND") or named.get("kind")):
        kept["kind"] = [kind]
    title = f"{name}: {experiment.title}" if experiment else name.replace("_", " ").capitalize()
    caption = experiment.caption if experiment else ""
    return PageFigure(name, title, caption, stated.table, kept, needs.quantity(stated.options))


def compared(graph: StudyGraph) -> dict[str, Any]:
    """Return the settings of the comparison of solutions, problem by problem."""
    pairs = comparisons(graph)
    addresses = [
        {
            **asdict(pair.policy),
            "decoding": pair.after.decoding,
            "before": pair.before.path,
            "after": pair.after.path,
        }
        for pair in pairs
    ]
    kinds = 3 * max(1, len(pairs))
    shown = max(1, min(_OF_A_KIND, _SHOWN // kinds))
    return {"split": SPLIT, "compared": addresses, "shown": shown}


def facts(graph: StudyGraph) -> list[Fact]:
    """Say what was asked: models, tasks, methods, training, seeds, decodings, evaluations.

    By name, because the order of keys in a study means nothing.
    """
    study = graph.study
    return [
        ("Models", [_model(name, model) for name, model in sorted(study.models.items())]),
        ("Tasks", list(_tasks(graph))),
        ("Methods", list(_variants(graph)) or ["none: base models only"]),
        *([("Training", list(_training(graph)))] if study.variants else []),
        ("Training seeds", [f"{len(study.seeds)} ({', '.join(map(str, study.seeds))})"]),
        ("Decodings", list(_decodings(graph))),
        ("Evaluations", list(_evaluations(graph))),
    ]


def _model(name: str, model: Model) -> str:
    source = model.source
    if isinstance(source, EmbeddedModel):
        made = f"pretrained here, seed {source.seed}" if source.pretrain else "shipped with restem"
        what = f"embedded model of size {source.size}, {made}; it knows procedural problems only"
    elif isinstance(source, HubModel):
        what = f"{source.id} of the Hugging Face hub, revision {source.revision}"
    elif isinstance(source, LocalModel):
        what = f"local checkpoint {source.directory.name}"
    else:
        what = f"from the Python package {source.package}"
    chat = ", chat prompts" if model.prompt == "chat" else ""
    return f"{name}: {what}; sampled with {model.engine.name} ({model.engine.dtype}){chat}"


def _tasks(graph: StudyGraph) -> Iterator[str]:
    trained = {variant.task for variant in graph.study.variants.values()}
    for name, block in sorted(graph.study.tasks.items()):
        role = "trained on" if name in trained else "transfer"
        module = f"module {block.module}, " if block.module not in (None, name) else ""
        yield f"{name}: {module}{_source(block.data.source)}; {role}"


def _source(source: DataSource) -> str:
    named = next(
        (str(getattr(source, key)) for key in ("id", "package") if hasattr(source, key)), ""
    )
    version = getattr(source, "revision", None) or getattr(source, "version", "")
    kinds = {
        "embedded": "procedural problems of restem",
        "reasoning_gym": "procedural problems of reasoning-gym",
        "local": "local files",
        "hub": "Hugging Face hub",
        "package": "Python package",
    }
    words = " ".join(filter(None, (kinds[source.kind], named, version)))
    datasets = source.datasets if isinstance(source, ReasoningGymSource) else {}
    return words + "".join(
        f"; {dataset} ({_listed(parameters)})" if parameters else f"; {dataset}"
        for dataset, parameters in sorted(datasets.items())
    )


def _listed(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parameters.items())


def _variants(graph: StudyGraph) -> Iterator[str]:
    """Describe the variants, main methods first."""
    mains = set(main_variants(graph).values())
    stated = graph.study.variants.items()
    for name, variant in sorted(stated, key=lambda item: (item[0] not in mains, item[0])):
        method = graph.study.method_of(name)
        count = graph.iterations(name)
        words = ["main method"] if name in mains else []
        words += [f"method {variant.method}"] if variant.method != name else []
        kinds = " and ".join(_trained_on(graph, name))
        words += [f"trained on {kinds} of {variant.task}"]
        words += [f"{count} iteration{'s' if count > 1 else ''}"]
        words += ["changed from its preset"] if variant.changes else []
        words += ["reference"] if variant.reference else []
        yield f"{name}: {', '.join(words)}" + (f" ({method.paper})" if method.paper else "")


def _training(graph: StudyGraph) -> Iterator[str]:
    """Describe the settings of fine-tuning, with the variants and models that they are for."""
    described = defaultdict[str, dict[str, list[str]]](lambda: defaultdict(list))
    for model, variant in sorted({(p.model, p.variant) for p in graph.stated if p.iteration}):
        if graph.study.method_of(variant).m_step.kind == "fine_tune":
            how = _fine_tuning(graph.study.training_of(variant, model))
            described[how][model].append(variant)
    for how, by_model in described.items():
        who = "; ".join(f"{', '.join(names)} of {model}" for model, names in by_model.items())
        yield f"{how}: {who}"


def _fine_tuning(training: Training) -> str:
    early = training.stop == "validation_reward"
    length = f"{training.steps} steps" if training.steps else f"{training.epochs_max} epochs"
    return ", ".join(
        [
            f"LoRA of rank {training.lora.rank}" if training.lora else "all weights",
            f"learning rate {training.learning_rate:g} ({training.schedule})",
            f"batches of {training.batch_size}",
            f"at most {length}, early stopping by validation reward" if early else length,
            training.dtype,
        ]
    )


def _trained_on(graph: StudyGraph, variant: str) -> Iterator[str]:
    """Name the kinds of solutions that a variant is trained on."""
    selection = graph.study.method_of(variant).selection
    if selection.model_data:
        yield "sampled completions"
    if selection.human:
        task = graph.study.tasks[graph.study.variants[variant].task]
        yield f"{task.human if selection.human == HUMAN else selection.human} solutions"


def _decodings(graph: StudyGraph) -> Iterator[str]:
    for name, decoding in sorted(graph.study.decodings.items()):
        stated = decoding.model_dump(exclude_defaults=True, exclude={"draws", "temperature"})
        sampled = f"{decoding.draws} draws, temperature {decoding.temperature:g}"
        how = "greedy" if decoding.greedy else sampled
        more = "".join(f", {key.replace('_', ' ')} {value}" for key, value in stated.items())
        yield f"{name}: {how}{more}"


def _evaluations(graph: StudyGraph) -> Iterator[str]:
    for e in graph.study.evaluations:
        of = "base models" if e.variants == [] else ", ".join(e.variants or ["all variants"])
        last = ", last iterations" if e.iterations == "last" and e.variants != [] else ""
        yield f"{e.task}, {e.split}, {e.decoding}: {of}{last}"
