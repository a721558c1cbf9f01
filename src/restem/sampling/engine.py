"""What every sampling engine takes and gives; imports no inference library."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from restem.config.decoding import Decoding
from restem.errors import RestemError


@dataclass(frozen=True)
class Request:
    """Ask for some draws of one problem.

    prefix: text that many requests share (few-shot examples); prompt: the text after it.
    seeds: one per draw, from `draw_seed`. chat: the text holds the special tokens of a chat
    template, so the tokenizer adds none.
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
    """Hold one finished draw.

    text: without the stop string and special tokens. tokens: every sampled token, those of the
    stop string or end-of-text token included. logprob: the sum over those tokens of their natural
    log-probability under the model's own distribution, without temperature and filters.
    finish_reason: "length" when max_tokens or the model's context ended it.
    stop_reason: the stop string or the name of the end-of-text token; none after "length".
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


@dataclass(frozen=True)
class Usage:
    """Count what an engine has spent since it was loaded.

    prompt_tokens: of all draws, each with its whole prompt; cached_tokens: those of them that
    were not computed again. peak_memory_bytes: of the device that samples; on CPU, of the process.
    """

    prompt_tokens: int
    cached_tokens: int
    gpus: int
    peak_memory_bytes: int


class Engine(Protocol):
    """Draw completions; one instance holds one loaded policy."""

    @property
    def name(self) -> str:
        """Name the engine as the configuration does."""

    @property
    def version(self) -> str:
        """Name the libraries and their versions that decide the result."""

    @property
    def unit_draws(self) -> int | None:
        """Say how many draws belong together; None where a draw does not depend on company."""

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        """Yield groups of finished completions, every requested draw exactly once.

        The order is the engine's own. A completion ends before the first stop string, at an
        end-of-text token or at max_tokens. Raises BadPrompts before anything is drawn.
        """

    def usage(self) -> Usage:
        """Return what sampling has spent so far."""


class BadPrompts(RestemError):  # noqa: N818 - a condition of the data, not a defect
    """Report prompts that nothing can be drawn after; the others can be drawn without them."""

    def __init__(self, what: str, problem_ids: Sequence[str], way_out: str) -> None:
        super().__init__(what, f"problems {', '.join(problem_ids)}", way_out)
        self.problem_ids = tuple(problem_ids)


class PromptTooLong(BadPrompts):
    """Report prompts that leave no room for a completion in the model's context."""

    def __init__(self, problem_ids: Sequence[str], context_tokens: int) -> None:
        super().__init__(
            f"{len(problem_ids)} prompts do not fit the model's context "
            f"of {context_tokens} tokens with room for one more",
            problem_ids,
            "use fewer few-shot examples, leave these problems out, or a model with a longer "
            "context",
        )


def draw_seed(policy: str, split: str, decoding: str, problem_id: str, draw: int, seed: int) -> int:
    """Return the 63-bit seed that belongs to a draw's address and to nothing else.

    More draws, other shards or another order therefore re-draw none.
    """
    address = json.dumps([policy, split, decoding, problem_id, draw, seed])
    return int.from_bytes(hashlib.sha256(address.encode()).digest()[:8], "big") >> 1
