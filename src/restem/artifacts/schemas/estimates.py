"""Tables of a study's estimates, claims and ledger."""

from restem.artifacts.schemas.evaluation import ADDRESS, COST_COLUMNS
from restem.artifacts.tables import FLOAT, INT, TEXT, Kind

# fmt: off
ALONE = "alone"  # the charge of the ledger that says what a name would cost by itself
SHARED = "shared"  # its part, where all names of its scope that use something divide its cost
SUM = ""  # the name of the row that adds up a scope of the ledger

_INTERVAL = {"estimate": FLOAT, "low": FLOAT, "high": FLOAT}

SUMMARY = Kind.of(
    "summary",
    {**ADDRESS, "quantity": TEXT, "problems": INT, "draws": INT, "seeds": INT},
    {"seed": INT, "k": INT, **_INTERVAL, "halted": TEXT, "references": TEXT},
)

BREAKDOWN = Kind.of(
    "breakdown",
    {**ADDRESS, "kind": TEXT, "group": TEXT, "quantity": TEXT, "problems": INT, "seeds": INT},
    {"seed": INT, "reference": TEXT, **_INTERVAL},
)

LIFTS = Kind.of(
    "lifts",
    {**ADDRESS, "reference": TEXT, "quantity": TEXT, "problems": INT, "seeds": INT},
    _INTERVAL,
)

CLAIMS = Kind.of(
    "claims",
    {"claim": TEXT, "verdict": TEXT, "problems": INT, "seeds": INT},
    {
        "k": INT, "contrast": TEXT, "test": TEXT, **_INTERVAL, "reason": TEXT,
        "p": FLOAT, "p_family": FLOAT, "family": TEXT,  # see restem.statistics.multiplicity
    },
)

FALSE_POSITIVES = Kind.of(
    "false_positives",
    {
        "task": TEXT, "model": TEXT, "variant": TEXT, "iteration": INT, "check": TEXT,
        "origin": TEXT, "seeds": INT, "kept": INT, "checked": INT, "problems": INT,
        "undecided": INT, "rejected": INT, "known": INT,
    },
    {"seed": INT, **_INTERVAL},
)

LEDGER = Kind.of(  # charge: alone or shared; the name of a sum is empty
    "ledger", {"scope": TEXT, "name": TEXT, "charge": TEXT, **dict.fromkeys(COST_COLUMNS, FLOAT)}
)

SHOWN_BY_FIGURES = {kind.name: kind for kind in (SUMMARY, BREAKDOWN, FALSE_POSITIVES)}
