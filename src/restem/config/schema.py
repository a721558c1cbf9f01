"""The JSON schema of a study file as people write it, for editors: config/schema.json."""

import json
from collections.abc import Iterator
from typing import Any, Final

from restem.config.load import BY_NAME
from restem.config.study import Study

Schema = dict[str, Any]
_AS_WRITTEN: Final[Schema] = {
    "experiments": {"type": "array", "items": {"type": "string"}},
    "claims": {"const": "all"},
}


def schema() -> str:
    """Return the JSON schema of a study file, as written to config/schema.json.

    `extends` merges mappings with those of another file, so none of their keys is required, and
    null removes an entry by name; loading the study says what is missing. Lists are not merged:
    what their entries need is required. So are the keys of a study that extends nothing.
    """
    study: Schema = Study.model_json_schema()
    blocks: Schema = study["$defs"]
    # A file without `extends` and `study` extends config/demo.yaml.
    alone = {"required": ["study"], "not": {"required": ["extends"]}}
    needed = [key for key in study.pop("required") if key != "evaluations"]
    evaluated = {"anyOf": [{"required": [key]} for key in ("evaluations", "experiments")]}
    study |= {"if": alone, "then": {"required": needed, **evaluated}}
    for name in sorted(_merged(study, blocks)):
        _relax(blocks[name])
    properties = study["properties"]
    for key, form in _AS_WRITTEN.items():
        about = {name: properties[key].pop(name) for name in ("title", "description")}
        properties[key] = {"anyOf": [properties[key], form], **about}
    for key in BY_NAME:
        patterns = properties[key]["patternProperties"]
        properties[key]["patternProperties"] = {
            pattern: {"anyOf": [block, {"type": "null"}]} for pattern, block in patterns.items()
        }
    return json.dumps(study, indent=2, sort_keys=True) + "\n"


def _relax(block: Schema) -> None:
    """Require no key; without them, several kinds of a block may fit."""
    for part in _parts(block):
        part.pop("required", None)
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")


def _merged(study: Schema, blocks: Schema) -> set[str]:
    """Return the names of the blocks that are reached without passing through a list."""
    reached, pending = set[str](), [study]
    while pending:
        names = {p["$ref"].rsplit("/", 1)[1] for p in _parts(pending.pop()) if "$ref" in p}
        pending += [blocks[name] for name in names - reached]
        reached |= names
    return reached


def _parts(block: Schema) -> Iterator[Schema]:
    """Yield a schema and those of its values, but not of the entries of lists."""
    yield block
    for key in ("properties", "patternProperties"):
        for part in block.get(key, {}).values():
            yield from _parts(part)
    for key in ("anyOf", "oneOf", "allOf"):
        for part in block.get(key, ()):
            yield from _parts(part)
    if isinstance(block.get("additionalProperties"), dict):
        yield from _parts(block["additionalProperties"])
