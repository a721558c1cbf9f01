"""A whole study, as its YAML file says it; all of its problems are reported at once."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from restem.config.ancestors import bad_ancestors
from restem.config.base import Strict, merge
from restem.config.claims import Claim
from restem.config.data import TaskData
from restem.config.decoding import Decoding
from restem.config.errors import described, nearest
from restem.config.experiment import NAME, Experiment, Name
from restem.config.method import Method
from restem.config.metrics import FalsePositives, Metrics
from restem.config.models import Model
from restem.config.reward import Reward
from restem.config.services import Images, Tracking
from restem.config.training import Training
from restem.config.variant import Evaluation, Variant


class TaskBlock(Strict):
    """One task of a study: which module, which data, how it is rewarded."""

    module: str | None = Field(
        default=None, description="Module in restem.tasks; null for the same name."
    )
    human: str = Field(
        default="human",
        description="Name of the reference solutions that methods mean by human; an embedded task "
        "has terse and careful ones.",
    )
    data: TaskData = Field(description="Where the problems come from, and how many are used.")
    reward: Reward = Field(default_factory=Reward, description="How completions are verified.")
    graded: Path | None = Field(
        default=None,
        description="Folder with the filled sheets of a task that a human grades, each at the path "
        "that its sheet.csv has below results/<study>; null while there are none.",
    )


class Study(Strict):
    """All that one study runs and shows."""

    study: str = Field(description="Name; results go to results/<study>.", pattern=NAME)
    description: str = Field(default="", description="One sentence for the reader of the results.")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default=[0], description="Training seeds; intervals cover them.", min_length=1
    )
    tasks: dict[Name, TaskBlock] = Field(description="Tasks by name.")
    models: dict[Name, Model] = Field(description="Base models by name.")
    decodings: dict[Name, Decoding] = Field(description="Ways of drawing, by name.")
    methods: dict[Name, Method] = Field(
        default_factory=dict, description="Methods by name; presets come from config/methods."
    )
    variants: dict[Name, Variant] = Field(
        default_factory=dict, description="What is trained, by name; none to look at base models."
    )
    training: Training = Field(default_factory=Training, description="The M-step.")
    validation_decoding: str = Field(
        default="greedy", description="Decoding of the validation split inside the M-step."
    )
    evaluations: list[Evaluation] = Field(
        description="What is measured of which policies.", min_length=1
    )
    metrics: Metrics = Field(default_factory=Metrics, description="Estimators and intervals.")
    figures: list[str] = Field(
        default=["accuracy_by_iteration", "train_test_gap", "pass_at_k"],
        description="Modules in restem.figures that are drawn.",
    )
    experiments: dict[Name, Experiment] = Field(
        default_factory=dict,
        description="Experiments whose variants, evaluations and figures the study has; in a file: "
        "a list of names in config/paper/experiments.",
    )
    claims: list[Claim] = Field(
        default_factory=list,
        description="What is tested; in a file `all` means config/paper/claims.yaml.",
    )
    stand_ins: dict[Name, dict[Name, Name]] = Field(
        default_factory=dict,
        description="By task, which model of this study claims are tested on instead of one that "
        "they name: for a study whose models are not all for all tasks.",
    )
    false_positives: FalsePositives = Field(
        default_factory=FalsePositives,
        description="Second verdict on a sample of what policies are trained on."
    )
    tracking: Tracking = Field(default_factory=Tracking, description="Where MLflow runs go.")
    images: Images = Field(default_factory=Images, description="Containers by kind of stage.")
    shards: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict,
        description="Sampling and verification jobs a split; scheduling only.",
    )

    _methods: dict[str, Method] = PrivateAttr(default_factory=dict)

    def method_of(self, variant: str) -> Method:
        """Return a variant's method, with the changes that the variant makes to it."""
        if variant not in self._methods:
            stated = self.variants[variant]
            method = self.methods[stated.method]
            if stated.changes:
                merged = merge(method.model_dump(exclude_unset=True), stated.changes)
                method = Method.model_validate(merged)
            self._methods[variant] = method
        return self._methods[variant]

    def training_of(self, variant: str, model: str) -> Training:
        """Return the M-step of a variant on a model: the study's, changed by both."""
        changes = {**self.models[model].training, **self.method_of(variant).training}
        return Training.model_validate({**self.training.model_dump(), **changes})

    def models_on(self, task: str, stated: list[str] | None) -> list[str]:
        """Return the models that a variant or an evaluation on a task is of: stated, or all fit."""
        fit = (n for n, m in self.models.items() if m.tasks is None or task in m.tasks)
        return list(fit) if stated is None else stated

    @property
    def tested_claims(self) -> list[Claim]:
        """Return the claims as this study tests them, about stand-ins where it has them."""
        return [claim.tested_with(self.stand_ins) for claim in self.claims]

    @field_validator("seeds")
    @classmethod
    def _differ(cls, seeds: list[int]) -> list[int]:
        if len(seeds) != len(set(seeds)):
            raise ValueError("list every seed once")
        return seeds

    @model_validator(mode="after")
    def _names_exist(self) -> "Study":
        problems = list(_dangling(self))
        if problems:
            raise ValueError("\n".join(problems))
        return self


def _dangling(study: Study) -> list[str]:
    """Name every reference to something that the study does not define."""
    found: list[str] = []

    def check(path: str, name: str, known: Collection[str]) -> None:
        if name not in known:
            found.append(f"{path}: {name!r} is not defined{nearest(name, known)}")

    if "pretrained" in study.tasks:
        found.append("tasks.pretrained: this name is taken by the base models; choose another")
    for name, variant in study.variants.items():
        if name == "base":
            found.append("variants.base: this name is taken by the base model; choose another")
        check(f"variants.{name}.method", variant.method, study.methods)
        check(f"variants.{name}.task", variant.task, study.tasks)
        for model in variant.models or []:
            check(f"variants.{name}.models", model, study.models)
    for index, evaluation in enumerate(study.evaluations):
        check(f"evaluations.{index}.task", evaluation.task, study.tasks)
        check(f"evaluations.{index}.decoding", evaluation.decoding, study.decodings)
        for variant_name in evaluation.variants or []:
            check(f"evaluations.{index}.variants", variant_name, study.variants)
        for model in evaluation.models or []:
            check(f"evaluations.{index}.models", model, study.models)
    for name, stated in study.models.items():
        for task in stated.tasks or []:
            check(f"models.{name}.tasks", task, study.tasks)
    for task, names in study.stand_ins.items():
        check("stand_ins", task, study.tasks)
        for model in names.values():
            check(f"stand_ins.{task}", model, study.models_on(task, None))
    check("validation_decoding", study.validation_decoding, study.decodings)
    found += _chat_for_training(study) + _unfit(study) + _without_second_verdict(study)
    return found or _bad_changes(study) or bad_ancestors(study) or _bad_training(study)


def _chat_for_training(study: Study) -> list[str]:
    """Name the models with chat prompts that a variant would train: its examples are text."""
    return [
        f"models.{name}.prompt: chat prompts are for evaluation, and variants.{variant} trains on "
        "them; leave the model out of the variant's `models`, or set prompt: base"
        for name, model in study.models.items()
        if model.prompt == "chat"
        for variant, stated in study.variants.items()
        if name in study.models_on(stated.task, stated.models)
    ]


def _unfit(study: Study) -> list[str]:
    """Name the models that are asked for on a task that they are not for."""
    stated: list[tuple[str, Variant | Evaluation]] = [
        *((f"variants.{name}", variant) for name, variant in study.variants.items()),
        *((f"evaluations.{index}", found) for index, found in enumerate(study.evaluations)),
    ]
    return [
        f"{path}.models: {name} is not for task {asked.task}; add the task to models.{name}.tasks"
        for path, asked in stated
        for name in asked.models or []
        if name in study.models and name not in study.models_on(asked.task, None)
    ]


def _without_second_verdict(study: Study) -> list[str]:
    """Name the figures of false positives in a study that looks for none."""
    if study.false_positives.sample:
        return []
    return [
        f"false_positives.sample: 0, but figure {name} of experiment {experiment} shows them; set it, "
        "for instance to 200"
        for experiment, stated in study.experiments.items()
        for name, figure in stated.figures.items()
        if figure.table == "false_positives"
    ]


def _bad_training(study: Study) -> list[str]:
    """Name every key of a method's or a model's training block that does not fit."""
    blocks = {f"methods.{n}.training": m.training for n, m in study.methods.items()}
    blocks |= {f"models.{n}.training": m.training for n, m in study.models.items()}
    found: list[str] = []
    for path, block in blocks.items():
        try:
            Training.model_validate({**study.training.model_dump(), **block})
        except ValidationError as problem:
            found += [f"{path}.{line}" for line in described(problem, Training)]
    return found


def _bad_changes(study: Study) -> list[str]:
    """Name what is wrong with the method of every variant."""
    found: list[str] = []
    for name, variant in study.variants.items():
        try:
            method = study.method_of(name)
        except ValidationError as problem:
            found += [f"variants.{name}.changes.{line}" for line in described(problem, Method)]
            continue
        for key, decoding in method.decodings.items():
            if decoding not in study.decodings:
                where = f"methods.{variant.method}.{key}"
                found.append(
                    f"{where}: {decoding!r} is not defined{nearest(decoding, study.decodings)}"
                )
    return found
