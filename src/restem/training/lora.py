"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) by peft, and merging them into their base.

Unless a study says otherwise a policy is a whole model, so that whatever loads one needs no second
checkpoint: adapters are merged before they are saved, and kept in a folder of their own beside the
weights.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any, Final

from restem.artifacts.store import read_json, write_json
from restem.config.training import Lora
from restem.errors import RestemError
from restem.policies.adapter import BASE, CONFIG, NAME, WEIGHTS, base_of, weights_of
from restem.policies.checkpoint import load_policy, save_policy

ADAPTER: Final = "adapter"


def with_adapters(model: Any, settings: Lora) -> Any:
    """Return a peft model around `model`, whose layers now have adapters; only these train.

    Raises RestemError when no layer has a name in settings.targets.
    """
    import peft

    targets = settings.targets
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        task_type="CAUSAL_LM",
    )
    model.name_or_path = ""  # else a path of this machine would be saved with the adapter
    try:
        return peft.get_peft_model(model, config)
    except ValueError as error:
        raise RestemError(
            f"adapters cannot be added: {error}",
            "training.lora.targets",
            "name linear layers of this model, such as q_proj, or give all-linear",
        ) from error


def save_merged(adapted: Any, tokenizer: Any, base: Path, out: Path) -> None:
    """Save the whole model at `out` and the adapters alone in a folder inside."""
    _save(adapted, base, out / ADAPTER, "")
    save_policy(adapted.merge_and_unload(), tokenizer, out)


def save_alone(adapted: Any, tokenizer: Any, base: Path, out: Path) -> None:
    """Save the adapters and the tokenizer at `out`, with the way from there to their base."""
    _save(adapted, base, out, os.path.relpath(base, out))
    tokenizer.save_pretrained(out)


def require_whole(start: Path) -> None:
    """Refuse to train adapters that are to stand alone on another such adapter."""
    if base_of(start) is not None:
        raise RestemError(
            "an adapter cannot stand alone on another one",
            f"training.lora.merged, starting from {start}",
            "set merged: true, or start every iteration from the base model",
        )


def _save(adapted: Any, base: Path, out: Path, name: str) -> None:
    adapted.save_pretrained(out, save_embedding_layers=False)
    config = read_json(out / CONFIG)
    targets = config["target_modules"]
    # peft writes a set, whose order changes from process to process.
    sorted_targets = targets if isinstance(targets, str) else sorted(targets)
    write_json(out / CONFIG, {**config, "target_modules": sorted_targets, NAME: name})
    (out / "README.md").unlink(missing_ok=True)  # peft's is an empty form
    write_json(out / BASE, weights_of(base))


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Merge an adapter folder into its base and save the whole model.

    Raises RestemError when the adapter was trained on other weights, or fits other layers.
    """
    import peft

    _check(base, adapter)
    model, tokenizer = load_policy(base)
    expected = _adapter_weights(adapter)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what does not fit is checked below
            adapted = peft.PeftModel.from_pretrained(model, adapter)
    except (ValueError, RuntimeError) as error:
        raise _wrong_base(base, adapter, str(error)) from error
    found = set(peft.get_peft_model_state_dict(adapted))
    if found != expected:
        name = sorted(found ^ expected)[0]
        raise _wrong_base(base, adapter, f"{name} is in only one of them")
    save_policy(adapted.merge_and_unload(), tokenizer, out)


def _check(base: Path, adapter: Path) -> None:
    if not (adapter / CONFIG).is_file():
        raise RestemError(
            "there is no adapter here", str(adapter), f"point to a folder with {CONFIG}"
        )
    record = adapter / BASE
    if record.is_file() and json.loads(record.read_text()) != weights_of(base):
        raise _wrong_base(base, adapter, "its record names other weights")


def _adapter_weights(adapter: Path) -> set[str]:
    from safetensors import safe_open

    with safe_open(adapter / WEIGHTS, "pt") as stored:
        return set(stored.keys())


def _wrong_base(base: Path, adapter: Path, why: str) -> RestemError:
    return RestemError(
        f"the adapter does not belong to this base: {why}",
        f"{adapter} and {base}",
        "give the checkpoint that the adapter was trained on",
    )
