"""The model card of a policy: what it is, what made it, what training showed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.store import write_text

_FRONT: Final = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- restem
---
"""


def write_card(
    checkpoint: Path,
    training: Mapping[str, Any],
    report: Mapping[str, Any],
    made: Mapping[str, Any],
) -> None:
    """Write README.md into a checkpoint.

    training: the settings that were given; made: the digests of the recipe.
    """
    validations = [f"| {v['step']} | {v['reward']:.4f} |" for v in report["validations"]]
    lines = [
        _FRONT,
        f"# A policy fine-tuned on {report['examples']} examples",
        "",
        "Made by `restem policy` (the M-step of ReST-EM). `policy.json` beside this folder holds "
        "the same in full, with the hash of every file.",
        "",
        f"* task: {made['settings']['task']}; seed: {made['settings']['seed']}",
        f"* recipe: `{made['key']}`",
        f"* code: `{made['code']}`; environment: `{made['environment']}`",
        *(f"* {name}: {', '.join(f'`{d}`' for d in given)}" for name, given in _inputs(made)),
        f"* settings that differ from the defaults: {_listed(training)}",
        f"* steps: {report['steps_planned']} planned, {len(report['losses'])} taken "
        f"({report['ended']}), weights of step {report['kept_step']}",
        f"* loss: {report['losses'][0]:.4f} first, {report['losses'][-1]:.4f} last"
        if report["losses"]
        else "* loss: no step was taken",
        f"* left out: {_listed(report['skipped'])}",
        f"* tokens computed: {_listed(report['tokens'])}",
        f"* floating-point operations: {report['flops']:.3g}",
        "",
        "| after step | validation reward |",
        "| --: | --: |",
        *validations,
    ]
    write_text(checkpoint / "README.md", "\n".join(lines) + "\n")


def _inputs(made: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(name, digests) for name, digests in made["inputs"].items()]


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
