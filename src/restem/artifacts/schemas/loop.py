"""Tables of the loop: problems, completions, their rewards and training examples."""

import pyarrow as pa

from restem.artifacts.tables import FLOAT, INT, LONG, TEXT, Kind

# fmt: off
KEPT = "kept"  # the decision of an example that is trained on
HUMAN = "human"  # begins the source of an example that is a reference solution

PROBLEMS = Kind.of(
    "problems",
    {
        "id": TEXT, "question": TEXT, "subject": TEXT,
        "solutions": pa.list_(pa.struct([("source", TEXT), ("text", TEXT)])),
    },
    {"answer": TEXT, "level": INT},
)

SAMPLES = Kind.of(
    "samples",
    {
        "problem_id": TEXT, "draw": INT, "seed": LONG, "completion": TEXT, "tokens": INT,
        "prompt_tokens": INT, "finish_reason": TEXT, "logprob": FLOAT, "request": TEXT,
    },
    {"stop_reason": TEXT, "engine": TEXT},
)

REWARDS = Kind.of(
    "rewards",
    {
        "problem_id": TEXT, "draw": INT, "reward": FLOAT, "fraction": FLOAT, "verdict": TEXT,
        "layer": TEXT, "flexible": TEXT,
    },
    {"extracted": TEXT, "detail": TEXT, "of": FLOAT},  # of: points that a human can give
)

EXAMPLES = Kind.of(
    "examples",
    {"problem_id": TEXT, "source": TEXT, "draw": INT, "decision": TEXT, "weight": FLOAT},
    {"prefix": TEXT, "prompt": TEXT, "target": TEXT},
)
