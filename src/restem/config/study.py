"""A whole study as its YAML file states it; all problems of a file are reported at once."""

from collections.abc import Collection, Iterator
from typing import Annotated, Any, Final, Literal

from pydantic import (
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from restem.config.ancestors import bad_ancestors
from restem.config.base import Strict, UserPath, merge, optional
from restem.config.claims import Claim
from restem.config.contradictions import contradictions
from restem.config.data import ReasoningGymSource, TaskData
from restem.config.decoding import Decoding
from restem.config.errors import described, undefined
from restem.config.experiment import Experiment, Figure
from restem.config.method import Method
from restem.config.metrics import FalsePositives, Metrics
from restem.config.models import Model
from restem.config.names import Name, reserved
from restem.config.reward import Reward
from restem.config.services import Images, Tracking
from restem.config.training import Training
from restem.config.variant import Evaluation, Variant

UNCHECKED: Final = "unchecked"
"""Context of validation that admits contradictions, for a list of all that is wrong."""


class TaskBlock(Strict):
    """One task of a study: its module, its data and how completions are verified."""

    model_config = ConfigDict(json_schema_extra=optional("data"))

    module: str | None = Field(
        default=None, description="Module in restem.tasks; null for the task's own name."
    )
    human: str = Field(
        default="human",
        description="Source of the reference solutions that methods call `human`; embedded tasks "
        "have `terse` and `careful` ones.",
    )
    data: TaskData = Field(
        description="Where the problems come from, and how many are used; without it, all problems "
        "of the public source."
    )
    reward: Reward = Field(default_factory=Reward, description="How completions are verified.")
    graded_sheets: UserPath | None = Field(
        default=None,
        description="Folder with the filled-in sheets of a task that a human grades, each at the "
        "path that its sheet.csv has below results/<study>; null while there are none.",
    )

    @model_validator(mode="after")
    def _numbers_of_problems_are_stated(self) -> "TaskBlock":
        """Check the numbers of problems of all splits; a stage is given that of its own only."""
        splits = ("train", "validation", "test")
        unstated = [name for name in splits if getattr(self.data, name) is None]
        if isinstance(self.data.source, ReasoningGymSource) and unstated:
            raise ValueError(
                f"data: {', '.join(unstated)}: set a number (0 for none): reasoning_gym has no "
                "last problem"
            )
        return self


class Study(Strict):
    """Everything that one study runs and shows."""

    study: Name = Field(description="Name of the study; results are written to results/<study>.")
    extends: str | None = Field(
        default=None,
        description="Study file that this one changes, by its path from the root of the clone. "
        "Mappings are merged key by key; all else, lists included, is replaced. A file without "
        "`extends` and `study` extends config/demo.yaml.",
    )
    description: str = Field(default="", description="One sentence for readers of the results.")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default=[0],
        description="Training seeds; every variant is trained once with each.",
        min_length=1,
    )
    tasks: dict[Name, TaskBlock] = Field(description="Tasks by name.")
    models: dict[Name, Model] = Field(description="Base models by name.")
    decodings: dict[Name, Decoding] = Field(description="Decodings by name.")
    methods: dict[Name, Method] = Field(
        default_factory=dict,
        description="Methods by name, in addition to the presets in config/methods.",
    )
    variants: dict[Name, Variant] = Field(
        default_factory=dict,
        description="Variants to train, by name; none to evaluate base models only.",
    )
    training: Training = Field(
        default_factory=Training,
        description="Fine-tuning; models and methods may change keys, also of nested blocks.",
    )
    validation_decoding: str | None = Field(
        default=None,
        description="Decoding of the validation split during fine-tuning; null for the first "
        "greedy decoding (temperature 0) of the study.",
    )
    evaluations: list[Evaluation] = Field(
        description="Which policies are evaluated, on what.", min_length=1
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Estimates and intervals.")
    figures: list[str] = Field(
        default=["accuracy_by_iteration", "train_test_gap", "pass_at_k"],
        description="Figures of the whole study: modules in restem.figures. Of the default ones, "
        "those are plotted that the evaluations give results for.",
    )
    experiments: dict[Name, Experiment] = Field(
        default_factory=dict,
        description="Experiments whose variants, evaluations and figures the study includes. In a "
        "study file: a list of file names in config/paper/experiments, without .yaml.",
    )
    claims: list[Claim] = Field(
        default_factory=list,
        description="Claims to test. In a study file, `all` stands for config/paper/claims.yaml.",
    )
    claim_models: dict[Name, dict[Name, Name]] = Field(
        default_factory=dict,
        description="By task: the models of this study that stand for those which claims and "
        "experiments name. Only for models that have another name here.",
    )
    false_positives: FalsePositives = Field(
        default_factory=FalsePositives,
        description="Second verdict on a sample of the solutions that policies are trained on.",
    )
    tracking: Tracking = Field(
        default_factory=Tracking, description="Publication of runs to MLflow."
    )
    images: Images = Field(default_factory=Images, description="Container images by kind of stage.")
    shards: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Number of sampling and verification jobs per split; affects scheduling only.",
    )

    _methods: dict[str, Method] = PrivateAttr(default_factory=dict)
    _trainings: dict[tuple[str, str], Training] = PrivateAttr(default_factory=dict)

    def method_of(self, variant: str) -> Method:
        """Return a variant's method, including the variant's changes to it."""
        if variant not in self._methods:
            stated = self.variants[variant]
            method = self.methods[stated.method]
            if stated.changes:
                merged = merge(method.model_dump(exclude_unset=True), stated.changes)
                method = Method.model_validate(merged)
            self._methods[variant] = method
        return self._methods[variant]

    def training_of(self, variant: str, model: str) -> Training:
        """Return the training settings of a variant on a model: the study's, changed by both."""
        if (variant, model) not in self._trainings:
            changes = merge(self.models[model].training, self.method_of(variant).training)
            merged = merge(self.training.model_dump(), changes)
            self._trainings[variant, model] = Training.model_validate(merged)
        return self._trainings[variant, model]

    def models_on(self, task: str, stated: list[str] | None) -> list[str]:
        """Return the stated models, or else all models of the study that are for the task."""
        suitable = (n for n, m in self.models.items() if m.tasks is None or task in m.tasks)
        return list(suitable) if stated is None else stated

    def number_at(self, variant: str, key: str) -> float | None:
        """Return the number that a variant's method has at a dotted key, None if it has none."""
        value: Any = self.method_of(variant)
        for name in key.split("."):
            value = getattr(value, name, None)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if is_number else None

    @property
    def references(self) -> list[str]:
        """Return the variants that methods are compared with."""
        return sorted(name for name, variant in self.variants.items() if variant.reference)

    @property
    def validation(self) -> Decoding:
        """Return the decoding of the validation split during fine-tuning."""
        if self.validation_decoding is not None:
            return self.decodings[self.validation_decoding]
        return next(decoding for decoding in self.decodings.values() if decoding.greedy)

    @property
    def tested_claims(self) -> list[Claim]:
        """Return the claims about the models of this study, each k as the study draws it."""
        return [
            claim.tested_with(self.claim_models).at(self._ks_of(claim)) for claim in self.claims
        ]

    def _ks_of(self, claim: Claim) -> list[int]:
        """Return the k of the study that the decoding of a claim draws enough for."""
        decoding = self.decodings.get(claim.decoding or "")
        ks = self.metrics.votes if claim.quantity == "maj" else self.metrics.ks
        return [k for k in ks if decoding and k <= decoding.draws]

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(seeds) != len(set(seeds)):
            raise ValueError("list every seed once")
        return seeds

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> "Study":
        problems = [*_bad_names(self), *_bad_decodings(self)]
        problems += [*_unsuitable_models(self), *_without_second_verdict(self)]
        problems = problems or _bad_changes(self) or bad_ancestors(self)
        if not problems:
            problems = [*_bad_training(self), *_bad_x(self)]
        if not problems and info.context != UNCHECKED:
            problems = contradictions(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _bad_names(study: Study) -> Iterator[str]:
    """Describe reserved names, and references to what the study does not define."""
    yield from (f"study: {reason}" for reason in reserved("study", study.study))
    for kind in ("tasks", "models", "variants"):
        for name in getattr(study, kind):
            yield from (f"{kind}.{name}: {reason}" for reason in reserved(kind, name))
    yield from _same_figures(study)
    tasks, decodings = study.tasks, study.decodings
    defined: dict[str, Collection[str]] = {
        **{"task": tasks, "tasks": tasks, "trained_on": tasks, "method": study.methods},
        **{"decoding": decodings, "decodings": decodings},
        **{"models": study.models, "variants": study.variants},
    }
    for path, block in [*_trained_or_evaluated(study), *_figures(study), *_models(study)]:
        for key, names in defined.items():
            yield from undefined(f"{path}.{key}", getattr(block, key, None), names)
    yield from undefined("metrics.difficulty", study.metrics.difficulty, decodings)
    yield from undefined("claim_models", list(study.claim_models), tasks)
    for task, names in study.claim_models.items():
        models = study.models_on(task, None)
        yield from undefined(f"claim_models.{task}", list(names.values()), models)


def _same_figures(study: Study) -> Iterator[str]:
    """Describe figures that have one name and would be one file."""
    owners = dict.fromkeys(study.figures, "figures")
    for experiment, stated in study.experiments.items():
        for name in stated.figures:
            owner = owners.setdefault(name, f"experiments.{experiment}")
            if owner != f"experiments.{experiment}":
                yield (
                    f"experiments.{experiment}.figures.{name}: {owner} has a figure of this name; "
                    "choose another"
                )


def _bad_decodings(study: Study) -> Iterator[str]:
    """Describe decodings that are missing, or sampled where greedy ones are needed."""
    yield from undefined("validation_decoding", study.validation_decoding, study.decodings)
    greedy = [name for name, decoding in study.decodings.items() if decoding.greedy]
    if study.variants and study.validation_decoding is None and not greedy:
        yield "validation_decoding: no decoding has temperature 0, so name one of the decodings"
    for claim in study.claims:
        if claim.quantity == "accuracy" and claim.decoding in set(study.decodings) - set(greedy):
            yield f"claims: {claim.id}: accuracy is of greedy decoding; {claim.decoding} samples"
        if claim.quantity in ("pass", "maj") and claim.decoding in greedy:
            yield f"claims: {claim.id}: {claim.quantity} is of sampling; {claim.decoding} is greedy"


def _unsuitable_models(study: Study) -> Iterator[str]:
    """Describe models that are named for a task that they are not for."""
    for path, block in _trained_or_evaluated(study):
        for name in block.models or []:
            if name in study.models and name not in study.models_on(block.task, None):
                yield (
                    f"{path}.models: {name} is not for task {block.task}; add the task to "
                    f"models.{name}.tasks"
                )


def _without_second_verdict(study: Study) -> Iterator[str]:
    """Describe figures of false positives in a study that checks no solutions."""
    for path, figure in _figures(study):
        if figure.table == "false_positives" and not study.false_positives.sample:
            yield (
                f"false_positives.sample: 0, but {path} shows false positives; set it, for "
                "instance to 200"
            )


def _bad_changes(study: Study) -> list[str]:
    """Describe what is wrong with the method of every variant."""
    problems: list[str] = []
    for name, variant in study.variants.items():
        try:
            method = study.method_of(name)
        except ValidationError as problem:
            problems += [f"variants.{name}.changes.{line}" for line in described(problem, Method)]
            continue
        for key, decoding in method.decodings.items():
            problems += undefined(f"methods.{variant.method}.{key}", decoding, study.decodings)
    return problems


def _bad_training(study: Study) -> list[str]:
    """Describe every key of a training block that is not valid, alone or with another block."""
    blocks = {f"methods.{n}.training": m.training for n, m in study.methods.items()}
    blocks |= {f"models.{n}.training": m.training for n, m in study.models.items()}
    blocks |= {
        f"variants.{n}.changes.training": study.method_of(n).training
        for n, variant in study.variants.items()
        if "training" in variant.changes
    }
    problems: list[str] = []
    for path, block in blocks.items():
        try:
            Training.model_validate(merge(study.training.model_dump(), block))
        except ValidationError as problem:
            problems += [f"{path}.{line}" for line in described(problem, Training)]
    return problems or list(_bad_together(study)) or list(_loses_precision(study))


def _bad_together(study: Study) -> Iterator[str]:
    """Describe the variants whose method and model change training in ways that do not agree."""
    for name, variant in study.variants.items():
        for model in study.models_on(variant.task, variant.models):
            try:
                study.training_of(name, model)
            except ValidationError as problem:
                for line in described(problem, Training):
                    yield f"variants.{name}: training on model {model}: {line}"


def _loses_precision(study: Study) -> Iterator[str]:
    """Describe variants that would go on training from weights that were rounded."""
    for name, variant in study.variants.items():
        method = study.method_of(name)
        for model in study.models_on(variant.task, variant.models):
            rounded = study.training_of(name, model).save_dtype == "bfloat16"
            if rounded and method.start == "last":
                yield (
                    f"variants.{name}: it trains on from the last iteration's weights, so they may "
                    "not be rounded; leave out training.save_dtype: bfloat16"
                )
                break


def _bad_x(study: Study) -> Iterator[str]:
    """Describe variants that lack the number that a figure has on its x axis."""
    for experiment in study.experiments.values():
        for name, figure in experiment.figures.items():
            variants = experiment.variants if figure.variants is None else figure.variants
            for variant in variants if figure.x else ():
                if study.number_at(variant, str(figure.x)) is None:
                    yield f"figures.{name}.x: variant {variant} has no number at {figure.x}"


def _trained_or_evaluated(study: Study) -> Iterator[tuple[str, Variant | Evaluation]]:
    """Yield every variant and every evaluation with its path."""
    yield from ((f"variants.{name}", variant) for name, variant in study.variants.items())
    yield from ((f"evaluations.{i}", block) for i, block in enumerate(study.evaluations))


def _models(study: Study) -> Iterator[tuple[str, Model]]:
    """Yield every model with its path."""
    yield from ((f"models.{name}", model) for name, model in study.models.items())


def _figures(study: Study) -> Iterator[tuple[str, Figure]]:
    """Yield every figure of an experiment with its path."""
    for experiment, stated in study.experiments.items():
        for name, figure in stated.figures.items():
            yield f"experiments.{experiment}.figures.{name}", figure
