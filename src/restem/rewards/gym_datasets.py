"""Problems of reasoning-gym, each named by what it is made from (Stojanovski et al. 2025).

A problem is kept as a recipe: dataset, parameters, seed and index. Some entries of the library hold
objects that no file can, so a verifier makes the entry again. Some datasets iterate over sets, so
problems are the same only in processes with PYTHONHASHSEED=0.
"""

import importlib
import importlib.util
import json
import sys
import warnings
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from restem.errors import RestemError, nearest

PACKAGE: Final = "reasoning-gym"
HASH_SEED: Final = {"PYTHONHASHSEED": "0"}
# Problems come from datasets of this size, one after the other, whose seeds are so far apart: most
# datasets seed a problem with their seed plus its place, and some make all their problems at once.
_SIZE: Final = 1000
_INSTALL: Final = "install it: make reasoning-gym (pip install --no-deps -r envs/reasoning-gym.txt)"


def check_installed(wanted: str) -> None:
    """Raise RestemError if another version of the library is installed, or none."""
    try:
        found = version(PACKAGE)
    except PackageNotFoundError as error:
        raise RestemError("reasoning-gym is not installed", "source.kind", _INSTALL) from error
    if found != wanted:
        raise RestemError(
            f"reasoning-gym {found} is installed, and the study names {wanted}",
            "source.version",
            f"{_INSTALL}, or name the version that you have: its problems may differ",
        )


@lru_cache(maxsize=64)
def open_dataset(name: str, parameters: str, seed: int) -> Any:
    """Return a dataset of the library; parameters: as JSON.

    Raises RestemError if there is no such dataset, or it refuses a parameter.
    """
    assert sys.flags.hash_randomization == 0, "problems depend on PYTHONHASHSEED"
    warnings.simplefilter("ignore")
    where = f"source.datasets.{name}"
    try:
        factory = importlib.import_module("reasoning_gym.factory")
        importlib.import_module("reasoning_gym")
    except ImportError as error:
        raise RestemError(
            f"reasoning-gym needs {error.name}, which is not installed", where, _INSTALL
        ) from error
    if name not in factory.DATASETS:
        raise RestemError(
            f"reasoning-gym has no dataset {name!r}{nearest(name, factory.DATASETS)}",
            where,
            f"name one of its {len(factory.DATASETS)}: {', '.join(sorted(factory.DATASETS))}",
        )
    try:
        return factory.create_dataset(name, **json.loads(parameters), seed=seed % 2**32, size=_SIZE)
    except (AssertionError, TypeError, ValueError, KeyError) as error:
        fields = factory.DATASETS[name][1].__dataclass_fields__
        raise RestemError(
            f"the dataset refuses its parameters: {error}",
            where,
            f"its parameters are {', '.join(n for n in fields if n not in ('seed', 'size'))}",
        ) from error


def entry_at(name: str, parameters: str, seed: int, index: int) -> tuple[Any, dict[str, Any]]:
    """Return a problem of the endless sequence that a seed begins, and its dataset.

    Raises RestemError if there is no such dataset, or it refuses a parameter.
    """
    block, place = divmod(index, _SIZE)
    dataset = open_dataset(name, parameters, seed + block * _SIZE)
    return dataset, dataset[place]


def gold(name: str, parameters: str, seed: int, index: int, answer: Any) -> str:
    """Return what a problem is verified against: its recipe, and its answer if it has one."""
    recipe = {"dataset": name, "parameters": parameters, "seed": seed, "index": index}
    return json.dumps({**recipe, "answer": answer, "version": version(PACKAGE)}, sort_keys=True)


def entry_of(recipe: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Return the dataset and the entry of a problem, made again.

    Raises ValueError if it is not the problem that the recipe was written for.
    """
    if recipe["version"] != version(PACKAGE):
        raise ValueError(f"made by reasoning-gym {recipe['version']}, not {version(PACKAGE)}")
    stated = (recipe[key] for key in ("dataset", "parameters", "seed", "index"))
    dataset, entry = entry_at(*stated)
    if entry["answer"] != recipe["answer"]:
        raise ValueError("the problem has another answer when it is made again")
    return dataset, entry
