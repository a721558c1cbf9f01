"""Tables of what was counted and compared, problem by problem, and of what it cost."""

from typing import Any, Final

import pyarrow as pa

from restem.artifacts.tables import FLOAT, INT, LONG, TEXT, Kind

# fmt: off
ADDRESS: Final[dict[str, Any]] = {
    "task": TEXT, "split": TEXT, "model": TEXT, "variant": TEXT, "iteration": INT,
    "decoding": TEXT,
}
COST_COLUMNS: Final[dict[str, Any]] = {
    "draws": LONG, "prompt_tokens": LONG, "cached_tokens": LONG, "generated_tokens": LONG,
    "trained_tokens": LONG, "flops": FLOAT,
    "seconds": FLOAT, "cpu_seconds": FLOAT, "gpu_seconds": FLOAT,
}

OVERLAP = Kind.of(
    "overlap",
    {
        "left_task": TEXT, "left_split": TEXT, "left_id": TEXT,
        "right_task": TEXT, "right_split": TEXT, "right_id": TEXT,
        "kind": TEXT, "score": FLOAT,
    },
)

METRICS = Kind.of(
    "metrics",
    {
        **ADDRESS,
        "greedy": pa.bool_(), "seed": INT, "problem_id": TEXT, "subject": TEXT,
        "draws": INT, "correct": INT, "unextractable": INT, "completion_tokens_mean": FLOAT,
    },
    {
        "level": INT, "halted": TEXT,
        "choices": TEXT, "right": TEXT,  # see restem.statistics.votes
        "solutions": TEXT,  # see restem.statistics.diversity
        "points": FLOAT, "of": FLOAT,  # means, where a human gives points
        "references": TEXT,  # how many problems had a reference solution, if not all had one
    },
)

_BEFORE_AND_AFTER = {
    "completion": TEXT, "extracted": TEXT, "verdict": TEXT, "tokens": INT,
    "finish_reason": TEXT,
}
CHANGES = Kind.of(  # see restem.statistics.changes; texts of chosen problems only
    "changes",
    {
        "task": TEXT, "split": TEXT, "model": TEXT, "variant": TEXT, "seed": INT,
        "iteration": INT, "decoding": TEXT, "problem_id": TEXT, "change": TEXT,
        "before_draws": INT, "before_correct": INT, "after_draws": INT, "after_correct": INT,
    },
    {
        "place": INT, "question": TEXT, "answer": TEXT,
        **{f"before_{name}": type_ for name, type_ in _BEFORE_AND_AFTER.items()},
        **{f"after_{name}": type_ for name, type_ in _BEFORE_AND_AFTER.items()},
    },
)

COSTS = Kind.of(  # limits of a cell: see restem.accounts.costs
    "costs",
    {"name": TEXT, "below_draw": LONG, "below_problem": LONG, "problems": LONG, **COST_COLUMNS},
)

RECHECK = Kind.of(
    "recheck",
    {
        "problem_id": TEXT, "source": TEXT, "draw": INT, "origin": TEXT, "kept": INT,
        "check": TEXT, "verdict": TEXT, "outcome": TEXT,
    },
    {"detail": TEXT},
)
