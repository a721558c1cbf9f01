"""A wheel with made-up few-shot prompts at the places where lm-eval has them."""

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import yaml

from restem.tasks import bbh

METADATA = "Metadata-Version: 2.1\nName: made-up\nVersion: 1.0\n"
MINERVA = """
import this_does_not_exist

def list_fewshot_samples() -> list[dict]:
    return [
        {"problem": "What is $2+2$?", "solution": "It is $\\\\boxed{4}$.", "few_shot": "1"},
    ]
"""
GSM8K = {
    "doc_to_text": "Q: {{question}}\nA:",
    "fewshot_config": {"samples": [{"question": "One?", "target": "1. The answer is 1."}]},
}


def bbh_prompt(name: str) -> str:
    sample = {"input": f"{name}?", "target": "So the answer is No."}
    task = {"dataset_name": name, "description": "Made up.\n\n", "fewshot_config": {}}
    task["fewshot_config"] = {"sampler": "first_n", "samples": [sample] * 3}  # type: ignore[dict-item]
    return yaml.safe_dump(task) + "metric: !function utils.metric\n"


def prompts_wheel(folder: Path) -> Path:
    """Write the wheel into a new folder."""
    folder.mkdir()
    path = folder / "made_up-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("made_up-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "made_up-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("made_up-1.0.dist-info/RECORD", "")
        archive.writestr("lm_eval/tasks/minerva_math/utils.py", MINERVA)
        archive.writestr("lm_eval/tasks/gsm8k/gsm8k-cot.yaml", yaml.safe_dump(GSM8K))
        for name in bbh.FILES:
            archive.writestr(f"lm_eval/tasks/bbh/cot_fewshot/{name}.yaml", bbh_prompt(name))
    return path


def pin(wheel: Path, **changes: Any) -> dict[str, Any]:
    """Return the wheel as a study names it."""
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    package = {"kind": "package", "package": "Made.Up", "version": "1.0", "sha256": digest}
    return package | changes
