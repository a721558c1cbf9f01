"""Where the problems of a task come from, and how many of them each split uses."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict

OverlapKind = Literal["exact", "normalised", "ngram", "fuzzy"]
Split = Literal["train", "validation", "test", "shots"]

HELD_OUT = Field(
    default=500,
    description="Training problems set aside for validation, chosen by a hash of their text; "
    "`validation` says how many of them are used.",
    ge=0,
)


class EmbeddedSource(Strict):
    """Problems made on the spot by the embedded world; needs no file."""

    kind: Literal["embedded"]
    seed: int = Field(default=0, description="Another seed makes other problems.", ge=0)
    pool: int = Field(
        default=2000,
        description="Problems made for each split, to choose from; more are other choices.",
        ge=1,
    )


class LocalSource(Strict):
    """Files in a directory: math/train.jsonl.gz, gsm8k/test.jsonl.gz, prompts/ and so on."""

    kind: Literal["local"]
    directory: Path = Field(description="Directory that holds math/, gsm8k/ and prompts/.")
    held_out: int = HELD_OUT


class HubSource(Strict):
    """A dataset on the Hugging Face hub, pinned to one commit."""

    kind: Literal["hub"]
    id: str = Field(description="Dataset on the hub, for instance EleutherAI/hendrycks_math.")
    revision: str = Field(
        description="Commit of the dataset, 40 hexadecimal digits: a branch or tag can move.",
        pattern="^[0-9a-f]{40}$",
    )
    prompts: Path | None = Field(
        default=None,
        description="Directory with the few-shot prompt files, which no dataset has; null only "
        "with `shots: 0`.",
    )
    held_out: int = HELD_OUT


DataSource = Annotated[EmbeddedSource | LocalSource | HubSource, Field(discriminator="kind")]


class FileDigest(Strict):
    """What a file must contain."""

    sha256: str = Field(description="Digest of the file's bytes.", pattern="^[0-9a-f]{64}$")
    rows: int | None = Field(
        default=None, description="Number of its rows; null to leave it open.", ge=0
    )


class TaskData(Strict):
    """The problems of one task, by split."""

    source: DataSource = Field(description="Where the problems come from.")
    levels: list[int] | None = Field(
        default=None,
        description="Difficulty levels to use; null for all, also problems without one.",
    )
    subjects: list[str] | None = Field(default=None, description="Subjects to use; null for all.")
    train: int | None = Field(default=None, description="Training problems; null for all.", ge=0)
    validation: int | None = Field(
        default=None, description="Validation problems; null for all.", ge=0
    )
    test: int | None = Field(default=None, description="Test problems; null for all.", ge=0)
    shots: int | None = Field(
        default=None,
        description="Worked examples of the few-shot prompt; 0: none, null: all.",
        ge=0,
    )
    seed: int = Field(
        default=0,
        description="Chooses the problems when a split uses fewer than there are; more problems "
        "under one seed always include the fewer.",
        ge=0,
    )
    exclude_overlap: OverlapKind | None = Field(
        default=None,
        description="Drop training and validation problems that overlap with a test problem, up "
        "to this kind: equal text, equal but for spaces and case, shared 13-grams, or much the "
        "same words.",
    )
    expect: dict[str, FileDigest] = Field(
        default_factory=dict, description="Digest and rows of files, by name; they are checked."
    )

    @model_validator(mode="after")
    def _source_can_give_it(self) -> "TaskData":
        if isinstance(self.source, EmbeddedSource) and self.expect:
            raise ValueError("expect: an embedded source reads no files; leave it out")
        needs_prompts = isinstance(self.source, HubSource) and self.source.prompts is None
        if needs_prompts and self.shots != 0:
            raise ValueError(
                "source.prompts: a hub dataset has no few-shot prompt; name a directory that has "
                "it, or set shots: 0"
            )
        return self
