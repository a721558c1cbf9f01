"""How a policy is fine-tuned on the selected examples (the M-step)."""

from typing import Final, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict

DEFAULT_VALIDATIONS: Final = 6
"""Validations of an M-step that stops by the validation reward."""


class Lora(Strict):
    """Low-rank adapters instead of full fine-tuning."""

    rank: int = Field(default=16, ge=1, description="Inner width of an adapter.")
    alpha: float = Field(default=32, gt=0, description="Scale: adapters count alpha / rank times.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout on the adapters' inputs.")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear",
        description="Names of the layers that get adapters; all-linear: every linear layer except "
        "the output projection.",
    )
    merged: bool = Field(
        default=True,
        description="Save whole weights, with the adapter beside them. false: save the adapter "
        "only, which needs the checkpoint that training started from; vLLM serves the two "
        "without merging.",
    )


class Training(Strict):
    """How the weights are trained.

    The paper states none of these values, only Algorithm 1's rule: train while the reward on a
    validation set improves. The defaults are common for full fine-tuning of models with a few
    billion parameters; tiny models need learning rates near 4e-4.
    """

    learning_rate: float = Field(default=1e-5, gt=0, description="Peak learning rate of AdamW.")
    epochs_max: int = Field(
        default=3,
        ge=1,
        description="Number of passes over the examples; an upper limit unless `stop: epochs`.",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        description="Number of optimiser steps, with as many passes as that takes; null for the "
        "number that follows from epochs_max.",
    )
    batch_size: int = Field(default=64, ge=1, description="Examples per optimiser step.")
    shuffle: Literal["examples", "questions"] = Field(
        default="examples",
        description="What is shuffled in each epoch. questions: all examples of a question are in "
        "one step if they fit, so that `layout: tree` computes the question once; each step then "
        "covers fewer questions.",
    )
    layout: Literal["tree", "packed", "padded"] = Field(
        default="tree",
        description="Layout of a forward pass; all three give the same gradients. tree: few-shot "
        "prompts and questions are computed once for all examples that share them; packed: whole "
        "examples without padding; padded: one example per row, with the model's own attention.",
    )
    pass_tokens: int = Field(
        default=8192,
        ge=1,
        description="Longest forward pass in tokens. It limits memory, not batch_size: a step "
        "accumulates as many passes as its batch needs. A shared prefix in a pass of its own comes "
        "on top.",
    )
    warmup_share: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Share of all steps during which the learning rate rises linearly.",
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="constant",
        description="Learning rate after the warm-up. constant: all weights that early stopping "
        "chooses from were trained at the same rate, whatever epochs_max is; cosine, linear: it "
        "reaches 0 at the end of epochs_max, for `stop: epochs`.",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW's decoupled weight decay; matrices only."
    )
    gradient_clip: float = Field(
        default=1.0, ge=0, description="Largest L2 norm of a step's gradient; 0 turns clipping off."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Data type of the arithmetic; weights, gradients and optimiser state are "
        "always float32.",
    )
    save_dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="Data type of the saved weights. bfloat16 halves the disk that a study takes; "
        "only for methods that never train on from the weights of the last iteration.",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="Number of processes that share a step's examples and the optimiser state, "
        "each with its own accelerator if there are any; in a SLURM job spread evenly over its "
        "nodes.",
    )
    shard: Literal["optimizer", "weights"] = Field(
        default="optimizer",
        description="What several processes divide among them. optimizer: AdamW's moments (ZeRO "
        "stage 1); weights: also gradients and weights (stage 3, torch's FSDP), for models that do "
        "not fit on one accelerator. A prefix is then computed once per pass instead of once per "
        "step.",
    )
    lora: Lora | None = Field(
        default=None, description="Train low-rank adapters; null to train all weights."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Keep only the input of each layer and recompute the layer in the backward "
        "pass: less memory, about a third more time, the same result.",
    )
    normalise: Literal["token", "example"] = Field(
        default="token",
        description="token: every target token has the same weight, whatever the length of its "
        "solution and the step that it is in (Eq. 3 up to a constant); example: every solution has "
        "the same weight, whatever its length.",
    )
    stop: Literal["validation_reward", "epochs"] = Field(
        default="validation_reward",
        description="validation_reward: stop when the reward no longer improves and keep the best "
        "weights (Algorithm 1); epochs: keep the weights after epochs_max.",
    )
    patience: int = Field(
        default=2,
        ge=1,
        description="Number of consecutive validations without improvement that end training with "
        "`stop: validation_reward`; 1 follows Algorithm 1 literally.",
    )
    validations: int | None = Field(
        default=None,
        ge=0,
        description="How often an M-step measures the reward on the validation split: before the "
        "first step, and so many times evenly spread over the steps, the last one among them. "
        "0: never. Null: 6 with `stop: validation_reward`, else 0.",
    )
    max_length_tokens: int = Field(
        default=2048,
        ge=2,
        description="Longest example (prompt and target) in tokens. Examples longer than this, or "
        "than the model's context, are skipped and counted, never cut.",
    )
    end_of_text: bool = Field(
        default=False,
        description="Append the tokenizer's end-of-text token to every target; not with `prompt: "
        "chat`, whose targets end with the end of the turn.",
    )
    thoughts: Literal["keep", "strip"] = Field(
        default="keep",
        description="What a policy thought before it answered (`<think>…</think>`). keep: it is "
        "part of the target, as it was sampled; strip: the target is the answer alone, and with "
        "`prompt: chat` begins as the chat template begins an answer without thoughts.",
    )

    @property
    def validations_planned(self) -> int:
        """Return how often the reward is measured after steps, at most."""
        if self.validations is None:
            return DEFAULT_VALIDATIONS if self.stop == "validation_reward" else 0
        return self.validations

    @model_validator(mode="after")
    def _is_consistent(self) -> "Training":
        if self.shard == "weights" and self.processes == 1:
            raise ValueError(
                "shard: weights needs several processes to share them; set processes: 2 or more"
            )
        if self.stop == "validation_reward" and self.validations == 0:
            raise ValueError(
                "stop: validation_reward needs validations to stop by; set validations: 6 or so, "
                "or stop: epochs"
            )
        return self
