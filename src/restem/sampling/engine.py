"""The protocol of all sampling engines; imports no inference library."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from restem.config.decoding import Decoding
from restem.errors import RestemError


@dataclass(frozen=True)
class Request:
    """Ask for some draws of one problem.

    prefix: text that many requests share (the few-shot prompt); prompt: the text after it.
    seeds: one per draw, from `draw_seed`; an engine with `seeds: engine` takes them for names only.
    chat: the text already contains the special tokens of a
    chat template, so the tokenizer adds none.
    """

    problem_id: str
    prefix: str
    prompt: str
    draws: tuple[int, ...]
    seeds: tuple[int, ...]
    chat: bool = False

    def __post_init__(self) -> None:
        if len(self.draws) != len(self.seeds):
            raise ValueError(f"{self.problem_id}: {len(self.draws)} draws, {len(self.seeds)} seeds")


@dataclass(frozen=True)
class Completion:
    """One finished draw.

    text: without the stop string and special tokens. tokens: number of sampled tokens, including
    those of the stop string or the end-of-text token. logprob: sum over these tokens of the natural
    log-probability under the model's own distribution, without temperature and filters.
    finish_reason: "length" if max_tokens or the model's context ended it.
    stop_reason: the stop string or the name of the end-of-text token; None after "length".
    """

    problem_id: str
    draw: int
    seed: int
    text: str
    tokens: int
    prompt_tokens: int
    finish_reason: Literal["stop", "length"]
    stop_reason: str | None
    logprob: float

    def row(self, request: str, engine: str) -> dict[str, Any]:
        """Return a row of the table `samples`; request: digest of the prompt, engine: version."""
        row = {**vars(self), "completion": self.text, "request": request, "engine": engine}
        del row["text"]
        return row


@dataclass(frozen=True)
class Usage:
    """What an engine has used since it was loaded.

    prompt_tokens: summed over all draws, each with its whole prompt; cached_tokens: the part of
    them that was not computed again. peak_memory_bytes: of the GPU, or of the process on a CPU.
    """

    prompt_tokens: int
    cached_tokens: int
    gpus: int
    peak_memory_bytes: int


REPRODUCIBLE: Final = {
    "draw": "the same command draws the same completions, up to rounding",
    "engine": "recorded only: if they are lost, the same command may draw others",
}
"""What is promised of completions, by the setting `seeds`."""


class Engine(Protocol):
    """Sample completions; one instance holds one loaded policy."""

    @property
    def name(self) -> str:
        """Return the engine's name in the configuration."""

    @property
    def version(self) -> str:
        """Return the names and versions of the libraries that decide the result."""

    @property
    def unit_draws(self) -> int | None:
        """Return how many draws are sampled as a unit; None if a draw depends on no other."""

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of finished completions, every requested draw exactly once, in any order.

        A completion ends before the first stop string, at an end-of-text token or at max_tokens.
        Raises BadPrompts before anything is sampled.
        """

    def usage(self) -> Usage:
        """Return what sampling has used so far."""


class BadPrompts(RestemError):  # noqa: N818 - a condition of the data, not a defect
    """Prompts that cannot be continued; the other prompts can be sampled without them."""

    def __init__(self, what: str, problem_ids: Sequence[str], way_out: str) -> None:
        super().__init__(what, f"problems {', '.join(problem_ids)}", way_out)
        self.problem_ids = tuple(problem_ids)


class PromptTooLong(BadPrompts):
    """Prompts that leave no room for a completion in the model's context."""

    def __init__(self, problem_ids: Sequence[str], context_tokens: int) -> None:
        super().__init__(
            f"{len(problem_ids)} prompts do not fit the model's context "
            f"of {context_tokens} tokens with room for one more",
            problem_ids,
            "use fewer few-shot examples, leave these problems out, or a model with a longer "
            "context",
        )


def non_finite(policy: str, draws: Sequence[tuple[str, int]]) -> RestemError:
    """Return the error for a model whose probabilities are no numbers; draws: problem and draw."""
    named = ", ".join(f"{problem_id} (draw {draw})" for problem_id, draw in draws[:5])
    more = f" and {len(draws) - 5} more" if len(draws) > 5 else ""
    return RestemError(
        "the model's probabilities of the next token are not finite numbers",
        f"{policy}, at problem {named}{more}",
        "look for damaged or overflowing weights; float32 overflows less than bfloat16 and float16",
    )


def draw_seed(policy: str, split: str, decoding: str, problem_id: str, draw: int, seed: int) -> int:
    """Return the 63-bit seed that belongs to a draw's address alone.

    So existing draws stay the same with more draws, other shards or another order.
    """
    address = json.dumps([policy, split, decoding, problem_id, draw, seed])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1
