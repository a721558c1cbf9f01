"""Names that become folders, SLURM comments and tracking keys: their form, length and meaning."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from pydantic import StringConstraints

NAME: Final = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
LONGEST: Final = 64  # characters
Name = Annotated[str, StringConstraints(pattern=NAME, max_length=LONGEST)]

_SUFFIXES: Final = ("parquet", "md", "csv", "json", "html", "log", "tsv", "db")
_FILES: Final[Mapping[str, frozenset[str]]] = {
    "study": frozenset({"README", "mlflow"}),
    "tasks": frozenset(
        {
            *("breakdown", "changes", "claims", "false_positives", "index", "ledger", "lifts"),
            *("methods", "overlap", "summary", "table"),  # of the study
            *("costs", "examples", "policy", "recheck"),  # of a policy
        }
    ),
}
_FOLDERS: Final[Mapping[str, Mapping[str, str]]] = {
    "study": {
        "reference": "the results that this repository ships",
        "mlartifacts": "MLflow's artifacts",
        "mlruns": "MLflow's runs",
    },
    "tasks": {
        "pretrained": "the base models",
        "figures": "the figures",
        "tracking": "what MLflow gets",
        "checkpoint": "the weights of a policy",
    },
    "models": {"problems": "the problems of a task"},
    "variants": {"base": "the base model"},
}


def reserved(block: str, name: str) -> Iterator[str]:
    """Say what a name is reserved for among the results; nothing if it is free."""
    if name in _FOLDERS.get(block, {}):
        yield f"this name is reserved for {_FOLDERS[block][name]}; choose another"
    stem, _, suffix = name.rpartition(".")
    if suffix in _SUFFIXES and stem in _FILES.get(block, ()):
        yield "this name is reserved for a file among the results; choose another"
