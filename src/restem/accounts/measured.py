"""What `make gpu` measured, as the assumptions that a forecast makes of a GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.files import read_json
from restem.errors import RestemError

WORKLOAD = "shared"  # of the training that is taken: solutions below a few-shot prompt


@dataclass(frozen=True)
class Measured:
    """Shares of the peak that a GPU reached. models: what sampling and training were measured on.

    values: `peak` [FLOP/s], `sampling` and `training`, those that the file has.
    """

    gpu: str
    values: Mapping[str, float]
    models: Mapping[str, str]


def read_measured(path: Path, parameters: float) -> Measured:
    """Read the JSON of `make gpu`; of several models, those nearest to so many parameters.

    Raises RestemError if it is no such file, or is of a machine without a known GPU.
    """
    content = read_json(path, "name a file that make gpu wrote")
    try:
        hardware, peak = content["hardware"], content["hardware"].get("peak_flops")
        if hardware["device"] != "cuda" or not peak:
            raise RestemError(
                f"it measured no GPU whose peak is known, but {hardware['name']}",
                f"{path}, hardware",
                "use the file of a GPU, or state --peak, --sampling and --training",
            )
        values, models = {"peak": float(peak)}, {}
        trained = _nearest(_training(content), parameters)
        if trained:
            models["training"] = trained[0]
            values["training"] = trained[1]["flops_per_second"] / peak
        sampled = _nearest(content.get("sampling", {}), parameters)
        if sampled:
            tokens = sampled[1]["ours_tokens_per_second"]["mean"]
            models["sampling"] = sampled[0]
            values["sampling"] = 2 * sampled[1]["parameters"] * tokens / peak
    except (KeyError, TypeError, AttributeError) as problem:
        raise RestemError(
            f"it lacks {problem}", str(path), "name a file that make gpu wrote"
        ) from problem
    return Measured(hardware["name"], values, models)


def _training(content: Mapping[str, Any]) -> dict[str, Any]:
    suffix = f", {WORKLOAD}"
    parts = content.get("training", {}).items()
    return {name.removesuffix(suffix): r["tree"] for name, r in parts if name.endswith(suffix)}


def _nearest(results: Mapping[str, Any], parameters: float) -> tuple[str, Any] | None:
    """Return the model whose size is nearest, of those that were measured without an error."""
    measured = [(name, r) for name, r in results.items() if "parameters" in r]
    return min(measured, key=lambda m: abs(m[1]["parameters"] - parameters), default=None)
