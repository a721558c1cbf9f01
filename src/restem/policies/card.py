"""The model card of a fine-tuned policy: what it is, how it was made, how training went."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from restem.artifacts.files import write_text

_FRONT_MATTER: Final = """---
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
    provenance: Mapping[str, Any],
) -> None:
    """Write README.md into a checkpoint; training: the settings that differ from the defaults."""
    losses, settings = report["losses"], provenance["settings"]
    lines = [
        _FRONT_MATTER,
        f"# A policy fine-tuned on {report['examples']} examples",
        "",
        "Made by `restem policy` (the M-step of ReST-EM). `policy.json` beside this folder holds "
        "the same in full, with the hash of every file.",
        "",
        f"* task: {settings['task']}; seed: {settings['seed']}",
        f"* recipe: `{provenance['key']}`",
        f"* code: `{provenance['code']}`; environment: `{provenance['environment']}`",
        *(
            f"* {name}: {', '.join(f'`{digest}`' for digest in digests)}"
            for name, digests in provenance["inputs"].items()
        ),
        f"* settings that differ from the defaults: {_listed(training)}",
        f"* steps: {report['steps_planned']} planned, {len(losses)} taken "
        f"({report['ended']}), weights of step {report['kept_step']}",
        f"* loss: {losses[0]:.4f} first, {losses[-1]:.4f} last"
        if losses
        else "* loss: no step was taken",
        f"* left out: {_listed(report['skipped'])}",
        f"* tokens computed: {_listed(report['tokens'])}",
        f"* floating-point operations: {report['flops']:.3g} in training, "
        f"{sum(v['flops'] for v in report['validations']):.3g} in validation",
    ]
    if report["validations"]:
        lines += ["", "| after step | validation reward |", "| --: | --: |"]
        lines += [f"| {v['step']} | {v['reward']:.4f} |" for v in report["validations"]]
    write_text(checkpoint / "README.md", "\n".join(lines) + "\n")


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
