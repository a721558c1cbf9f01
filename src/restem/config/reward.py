"""How completions are verified."""

from typing import Literal

from pydantic import Field

from restem.config.base import Strict


class Code(Strict):
    """Limits on programs, and which tests decide."""

    cpu_seconds: float = Field(
        default=8.0, description="Longest CPU time, or time spent waiting, of one test.", gt=0
    )
    wall_seconds: float = Field(
        default=30.0,
        description="Longest elapsed time of one test; well above cpu_seconds, so that programs do "
        "not fail on a busy machine.",
        gt=0,
    )
    memory_mib: int = Field(default=1024, description="Memory limit of a program in MiB.", ge=64)
    output_kib: int = Field(default=1024, description="Output limit of one test in KiB.", ge=1)
    stop_at_first_failure: bool = Field(
        default=True,
        description="Stop at the first failing test; the share of passed tests then counts only "
        "those before it.",
    )
    held_back: int = Field(
        default=0,
        description="Number of tests, counted from the last, of each training problem that do not "
        "decide the reward, so that they can find false positives. At least one test always "
        "decides, and other splits use all tests.",
        ge=0,
    )
    packages: list[str] = Field(
        default_factory=list,
        description="Installed pure-Python packages that programs may import.",
    )


class Reward(Strict):
    """How answers are extracted, and limits on them."""

    extraction: Literal["strict", "flexible"] = Field(
        default="strict",
        description="strict: the answer must be marked as in the task's prompt; flexible: any "
        "usual marker, else the last number.",
    )
    max_answer_characters: int = Field(
        default=1000, description="Longest answer in characters; longer ones are incorrect.", ge=1
    )
    code: Code = Field(default_factory=Code, description="How programs are run.")
