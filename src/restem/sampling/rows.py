"""What drawn completions are as rows of a table, and which problems a shard asks."""

from collections.abc import Sequence
from typing import Any

from restem.sampling.engine import Completion
from restem.tasks.problem import Problem


def of_shard(problems: Sequence[Problem], shard: str) -> list[Problem]:
    """Return the problems of a shard named `2-of-8`: every eighth, from the second on."""
    index, count = map(int, shard.split("-of-"))
    return list(problems[index - 1 :: count])


def row_of(completion: Completion, request: str, engine: str) -> dict[str, Any]:
    """Return the row of a completion, with the digest of what was asked and what drew it."""
    return {
        "problem_id": completion.problem_id,
        "draw": completion.draw,
        "seed": completion.seed,
        "completion": completion.text,
        "tokens": completion.tokens,
        "prompt_tokens": completion.prompt_tokens,
        "finish_reason": completion.finish_reason,
        "stop_reason": completion.stop_reason,
        "logprob": completion.logprob,
        "request": request,
        "engine": engine,
    }
