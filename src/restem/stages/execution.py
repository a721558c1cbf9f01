"""Execute a stage: check what it is given, compute its recipe, and make or put back its outputs."""

import base64
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.digests import canonical_json, code_digests, digest
from restem.artifacts.files import artifact_digest
from restem.artifacts.seals import Recipe
from restem.artifacts.store import produce
from restem.config.errors import validate
from restem.errors import RestemError
from restem.stages.declaration import Stage

# Linux takes 131,071 bytes as one argument; the settings of a large study's ledger have more.
_LONGEST: Final = 30_000
_PACKED: Final = "zlib:"


def execute(stage: Stage, values: Mapping[str, Any], stated: str, expected_code: str | None,
            environment: str) -> None:  # fmt: skip
    """Run a stage under its recipe, unless its outputs can be put back as they were.

    values: paths and options by parameter. stated: the settings as one argument. expected_code:
    digest of the code that the job was planned with. environment: digest for the record.
    Raises RestemError when settings, code or inputs are not what they have to be.
    """
    raw = _settings(stated)
    settings = validate(stage.settings_model, raw, "--settings")
    code = code_digests(stage.modules(raw))
    if expected_code not in (None, digest(code)):
        raise RestemError(
            "the code is not the one that this job was planned with",
            f"stage {stage.name}",
            "give the same snakemake command again; do not edit src/ while a study runs, or leave "
            "out --code when you run a stage by hand",
        )
    inputs = {name: listed(values[name]) for name in stage.files("input")}
    if missing := [path for paths in inputs.values() for path in paths if not path.exists()]:
        raise RestemError("input not found", str(missing[0]), "make it first, or correct the path")
    contents = {name: [artifact_digest(path) for path in paths] for name, paths in inputs.items()}
    recipe = Recipe(stage.name, raw, code, environment, contents, stage.options(values))
    with produce(recipe, outputs_of(stage, values), stage.reuse, inputs) as job:
        if not job.reused:
            stage(job=job, settings=settings, **values)


def outputs_of(stage: Stage, values: Mapping[str, Any]) -> dict[str, Path]:
    """Name every output file: by its parameter, one of several by its suffix too."""
    outputs: dict[str, Path] = {}
    for name, file in stage.files("output").items():
        paths = listed(values[name])
        outputs |= {f"{name}{path.suffix}" if file.several else name: path for path in paths}
    return outputs


def listed(value: Any) -> list[Path]:
    """Return one path as a list, several as they are."""
    return [value] if isinstance(value, Path) else list(value)


def _settings(text: str) -> dict[str, Any]:
    """Read a stage's slice of configuration."""
    try:
        settings = from_argument(text)
    except ValueError as problem:
        raise RestemError(f"this is not JSON: {problem}", "--settings", "quote it") from problem
    if not isinstance(settings, dict):
        raise RestemError("this is not a JSON object", "--settings", "write '{\"key\": value}'")
    return settings


def as_argument(settings: object) -> str:
    """Write settings as one argument: canonical JSON, packed where it is long."""
    text = canonical_json(settings)
    if len(text) <= _LONGEST:
        return text
    return _PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def from_argument(text: str) -> Any:
    """Read settings. Raises ValueError when they are neither JSON nor packed JSON."""
    if not text.startswith(_PACKED):
        return json.loads(text)
    try:
        return json.loads(zlib.decompress(base64.b64decode(text.removeprefix(_PACKED))))
    except zlib.error as problem:
        raise ValueError(f"what follows {_PACKED} cannot be unpacked: {problem}") from problem
