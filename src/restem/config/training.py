"""How a policy is fine-tuned on the examples that were kept (the M-step)."""

from typing import Literal

from pydantic import Field, model_validator

from restem.config.base import Strict


class Lora(Strict):
    """Low-rank adapters instead of full fine-tuning."""

    rank: int = Field(default=16, ge=1, description="inner width of an adapter")
    alpha: float = Field(default=32, gt=0, description="adapters are scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="on the adapters' inputs")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        default="all-linear",
        description="names of the layers that get adapters; all-linear: every linear layer but "
        "the output projection",
    )
    merged: bool = Field(
        default=True,
        description="save whole weights, with the adapter beside them; false: the adapter alone, "
        "which needs its start to stay where it is. vLLM then serves both, without merging",
    )


class Training(Strict):
    """Say how the weights are fitted.

    The paper gives none of these values, only Algorithm 1's rule: train while the reward on a
    validation set improves. The defaults are this project's, common for full fine-tuning of
    models of a few billion parameters; tiny models want learning rates near 4e-4.
    """

    learning_rate: float = Field(default=1e-5, gt=0, description="peak rate of AdamW")
    epochs_max: int = Field(
        default=3, ge=1, description="passes over the examples; an upper bound unless stop=epochs"
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        description="optimiser steps, in as many passes as that takes; null: epochs_max decides",
    )
    batch_size: int = Field(default=64, ge=1, description="examples per optimiser step")
    shuffle: Literal["examples", "questions"] = Field(
        default="examples",
        description="what is shuffled into the steps of an epoch. questions: all examples of a "
        "question come in one step, as far as it has room, and layout: tree computes it once; "
        "a step then sees fewer questions",
    )
    layout: Literal["tree", "packed", "padded"] = Field(
        default="tree",
        description="tree: few-shot prompts and questions are computed once for all examples of a "
        "pass that share them; packed: each example whole, without padding; padded: one a row, "
        "with the model's own attention. All three give the same gradients",
    )
    pass_tokens: int = Field(
        default=8192,
        ge=1,
        description="longest forward pass; a step accumulates as many as its batch needs, so this "
        "bounds memory, not batch_size. A shared prefix that needs a pass of its own comes on top",
    )
    warmup_share: float = Field(
        default=0.03, ge=0, le=1, description="share of all steps with a linearly rising rate"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine",
        description="rate after the warm-up; cosine and linear reach 0 at the end of epochs_max",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, description="AdamW's decoupled decay, on matrices only"
    )
    gradient_clip: float = Field(
        default=1.0, ge=0, description="largest L2 norm of a step's gradient; 0 = off"
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="type of the arithmetic; weights, gradients and optimiser stay in float32",
    )
    processes: int = Field(
        default=1,
        ge=1,
        description="processes that share a step's examples and the optimiser's state, each with "
        "an accelerator of its own where there are any; in a SLURM job evenly over its nodes",
    )
    shard: Literal["optimizer", "weights"] = Field(
        default="optimizer",
        description="what several processes share out. optimizer: AdamW's moments (ZeRO stage 1); "
        "weights: gradients and weights too (stage 3, torch's FSDP), for models that one "
        "accelerator cannot hold; a prefix is then computed once a pass, not once a step",
    )
    lora: Lora | None = Field(
        default=None, description="train adapters of low rank only; null: all weights"
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="keep only the input of each layer and compute the layer again in the backward "
        "pass: less memory, about a third more time, the same result",
    )
    normalise: Literal["token", "example"] = Field(
        default="token",
        description="token: every target token of a step counts the same (Eq. 3 up to scale); "
        "example: every example counts the same, however long",
    )
    stop: Literal["validation_reward", "epochs"] = Field(
        default="validation_reward",
        description="validation_reward: keep the best weights, stop when it no longer improves "
        "(Algorithm 1); epochs: keep the weights after epochs_max",
    )
    patience: int = Field(
        default=2,
        ge=1,
        description="validations in a row without improvement that end stop=validation_reward; "
        "1 is Algorithm 1 to the letter",
    )
    validations_per_epoch: int = Field(
        default=2, ge=1, description="validations per pass; one more is made before training"
    )
    max_length_tokens: int = Field(
        default=2048,
        ge=2,
        description="longest example, prompt and target; longer ones (or longer than the model's "
        "context) are skipped and counted, never cut",
    )
    end_of_text: bool = Field(
        default=False, description="append the tokenizer's end-of-text token to every target"
    )

    @model_validator(mode="after")
    def _shared_among_several(self) -> "Training":
        if self.shard == "weights" and self.processes == 1:
            raise ValueError(
                "shard: weights wants processes that share them; give processes: 2 or more"
            )
        return self
