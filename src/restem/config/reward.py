"""How completions are verified."""

from typing import Literal

from pydantic import Field

from restem.config.base import Strict


class Code(Strict):
    """Bound what a program may use in one test, and say how far its tests go."""

    cpu_seconds: float = Field(
        default=8.0, description="CPU time of one test, or time spent waiting.", gt=0
    )
    wall_seconds: float = Field(
        default=30.0,
        description="Wall clock of one test: longer, so that a busy machine fails no program.",
        gt=0,
    )
    memory_mib: int = Field(default=1024, description="Memory of a program, in MiB.", ge=64)
    output_kib: int = Field(default=1024, description="Output of one test, in KiB.", ge=1)
    stop_at_first_failure: bool = Field(
        default=True,
        description="End at the first failing test; the share of tests passed then counts those "
        "before it.",
    )
    held_back: int = Field(
        default=0,
        description="Last tests of a training problem that do not decide the reward, for an audit; "
        "one test decides at least. Other splits use all tests.",
        ge=0,
    )
    packages: list[str] = Field(
        default_factory=list,
        description="Installed pure-Python packages that programs may import.",
    )


class Reward(Strict):
    """Choose what counts as an answer, and how long one may be."""

    policy: Literal["strict", "flexible"] = Field(
        default="strict",
        description="strict: the answer must be marked the way the task's prompt marks it; "
        "flexible: any usual marker, else the last number.",
    )
    max_answer_characters: int = Field(
        default=1000, description="A longer answer is incorrect without a look at it.", ge=1
    )
    code: Code = Field(default_factory=Code, description="How programs are run.")
