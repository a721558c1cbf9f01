"""The two sides of a comparison: some policies of a folder of results or of an archive."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from restem.accounts.costs import Cost, total
from restem.errors import RestemError
from restem.statistics.evaluation import Measured, Row
from restem.tools.archive import unpack
from restem.tools.study_results import (
    RECIPES,
    Artifact,
    StudyResults,
    address_of_cost,
    load,
    read_study,
)

LAST: Final = "last"
SELECTED: Final = ("model", "variant", "iteration")
WAY: Final = ("task", "split", "decoding")


@dataclass(frozen=True)
class Side:
    """Some policies of a study. fixed: what the selection says of model, variant, iteration."""

    label: str
    study: StudyResults
    fixed: Mapping[str, str]

    @cached_property
    def rows(self) -> list[Row]:
        """Return the results by problem of the selected policies."""
        rows = [row for row in self.study.rows() if self._selects(row)]
        if self.fixed.get("iteration") != LAST:
            return rows
        last: dict[tuple[str, str], int] = {}
        for row in rows:
            name = row["model"], row["variant"]
            last[name] = max(last.get(name, 0), row["iteration"])
        return [row for row in rows if row["iteration"] == last[row["model"], row["variant"]]]

    def _selects(self, row: Mapping[str, Any]) -> bool:
        return all(
            str(row[name]) == value or (name, value) == ("iteration", LAST)
            for name, value in self.fixed.items()
        )

    @cached_property
    def evaluations(self) -> dict[tuple[Any, ...], str]:
        """Return the path of the metrics by address and seed, of the selected policies."""
        selected = {_place(row) for row in self.rows}
        every = ((_place(address), path) for address, path in self.study.evaluations())
        return {place: path for place, path in every if place in selected}

    @cached_property
    def artifacts(self) -> dict[str, Artifact]:
        """Return what the selected results were made from; everything if nothing is selected."""
        if not self.fixed:
            return dict(self.study.artifacts)
        return self.study.upstream(self.evaluations.values())

    def contents(self, policy: Measured, *inputs: str) -> list[Any]:
        """Return what the evaluation of a policy read, by seed."""
        seeds = sorted(policy.counts.keys() | policy.halted.keys())
        recipes = [
            self.study.artifacts[self.evaluations[_place(policy.address | {"seed": seed})]].recipe
            for seed in seeds
        ]
        return [(s, *(r.inputs[n] for n in inputs)) for s, r in zip(seeds, recipes, strict=True)]

    def cost(self, artifacts: Mapping[str, Artifact]) -> Cost:
        """Return the cost of artifacts, each once."""
        addresses = {address_of_cost(path, artifact) for path, artifact in artifacts.items()}
        return total(self.study.costs.get(address or "", Cost()) for address in addresses)

    def cost_of_variant(self, variant: str) -> Cost:
        """Return the cost of a variant's results and of everything that they were made from."""
        index = (*WAY, *SELECTED).index("variant")
        own = [path for place, path in self.evaluations.items() if place[index] == variant]
        return self.cost(self.study.upstream(own))


def read_side(stated: str) -> Side:
    """Read `<results or archive>[:[<model>/]<variant>[/<iteration>]]`.

    Raises RestemError if there is nothing, or nothing with these names.
    """
    place, selection = stated, ""
    if not Path(stated).exists():
        place, _, selection = stated.rpartition(":")
    if not place or not Path(place).exists():
        raise RestemError(
            "there are no results",
            stated,
            "name a folder results/<study> or an archive of it; a selection follows a colon, as in "
            "results/demo:rest-em",
        )
    side = Side(stated, _read(Path(place)), _fixed(selection, stated))
    if not side.rows:
        rows = side.study.rows()
        names = sorted({f"{r['model']}/{r['variant']}/{r['iteration']}" for r in rows})
        raise RestemError(
            "no policy with results has these names" if rows else "no policy has results",
            stated,
            f"name one of {', '.join(names)}" if names else "evaluate some policies first",
        )
    return side


def _fixed(selection: str, stated: str) -> dict[str, str]:
    parts = selection.split("/") if selection else []
    names = ("variant",) if len(parts) == 1 else SELECTED[: len(parts)]
    if len(parts) > len(SELECTED) or not all(parts):
        raise RestemError(
            "the selection is not <variant>, <model>/<variant> or <model>/<variant>/<iteration>",
            stated,
            "write for instance results/demo:S/rest-em/last",
        )
    return dict(zip(names, parts, strict=True))


def _read(path: Path) -> StudyResults:
    if path.is_dir():
        return load(path) if (path / RECIPES).is_file() else read_study(path)
    with tempfile.TemporaryDirectory(prefix="restem-") as folder:
        unpack(path, Path(folder))
        if not (Path(folder) / RECIPES).is_file():
            raise RestemError(
                "this archive holds estimates, but no results by problem and no recipes",
                str(path),
                "make it again with this version of restem, from complete results",
            )
        return load(Path(folder))


def _place(address: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(address[name] for name in (*WAY, *SELECTED, "seed"))
