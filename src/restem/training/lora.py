"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) by peft, and merging them into their base.

By default a policy is a whole model, so that loading one needs no second checkpoint: adapters are
merged before they are saved, and also stored on their own in a folder beside the weights.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from restem.artifacts.files import read_json, write_json
from restem.config.training import Lora
from restem.errors import RestemError
from restem.policies.checkpoint import (
    ADAPTER_BASE,
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_NAME,
    base_of,
    load_policy,
    save_policy,
    weight_digests,
)

ADAPTER: Final = "adapter"


def with_adapters(model: Any, settings: Lora) -> Any:
    """Return a peft model around `model`, whose layers now have adapters; only these train.

    Raises RestemError if no layer has a name in settings.targets, or if one is a tied embedding.
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
    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()]
    try:
        with _no_warnings():
            adapted = peft.get_peft_model(model, config)
    except (ValueError, UserWarning) as error:
        raise RestemError(
            f"adapters cannot be added: {error}",
            "training.lora.targets",
            "name linear layers of this model, such as q_proj, or give all-linear",
        ) from error
    _require_mergeable(adapted, embeddings, settings)
    return adapted


def _require_mergeable(adapted: Any, embeddings: Sequence[Any], settings: Lora | None) -> None:
    """Refuse adapters of layers whose weights are not theirs alone, or cannot be added later.

    Merging an adapter into one of two tied embeddings changes the other, which was not validated.
    embeddings: those of input and output before adapters were added. settings: of a new adapter.
    """
    below = {n: getattr(m, "base_layer", None) for n, m in adapted.named_modules()}
    copied = {n: getattr(m, "original_module", None) for n, m in adapted.named_modules()}
    changed = [
        (name, layer)
        for name, layer in (*below.items(), *copied.items())
        if layer is not None and any(layer is one for one in embeddings)
    ]
    if not changed:
        return
    names = ", ".join(name.rpartition(".")[2] for name, _ in changed)
    tied = all(one is not None for one in embeddings) and (
        embeddings[0].weight is embeddings[1].weight
    )
    alone = settings is not None and not settings.merged
    if tied or (alone and any(layer is embeddings[0] for _, layer in changed)):
        raise RestemError(
            f"an adapter of {names} cannot be merged: input and output share these weights"
            if tied
            else f"an adapter of {names} can only be merged",
            "training.lora.targets" if settings else "the adapter's target_modules",
            "name other layers, or a base model without tied embeddings"
            if tied
            else "name other layers, or set training.lora.merged: true",
        )


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Turn peft's warnings into errors: it goes on with an adapter other than the one asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        # `_require_mergeable` says it better.
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
        yield


def save_merged(adapted: Any, tokenizer: Any, base: Path, out: Path) -> None:
    """Save the whole model at `out`, and the adapters alone in a folder inside."""
    _save_adapter(adapted, base, out / ADAPTER, base_name="")
    save_policy(adapted.merge_and_unload(), tokenizer, out)


def save_alone(adapted: Any, tokenizer: Any, base: Path, out: Path) -> None:
    """Save the adapters and the tokenizer at `out`, with the relative path of their base."""
    _save_adapter(adapted, base, out, base_name=os.path.relpath(base, out))
    tokenizer.save_pretrained(out)


def require_whole(start: Path) -> None:
    """Refuse to train an unmerged adapter on top of another one."""
    if base_of(start) is not None:
        raise RestemError(
            "an adapter cannot stand alone on another one",
            f"training.lora.merged, starting from {start}",
            "set merged: true, or start every iteration from the base model",
        )


def _save_adapter(adapted: Any, base: Path, out: Path, base_name: str) -> None:
    adapted.save_pretrained(out, save_embedding_layers=False)
    config = read_json(out / ADAPTER_CONFIG)
    targets = config["target_modules"]
    # peft writes a set, whose order changes from process to process.
    sorted_targets = targets if isinstance(targets, str) else sorted(targets)
    changes = {"target_modules": sorted_targets, BASE_NAME: base_name}
    write_json(out / ADAPTER_CONFIG, config | changes)
    (out / "README.md").unlink(missing_ok=True)  # peft's is an empty form
    write_json(out / ADAPTER_BASE, weight_digests(base))


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Merge an adapter folder into its base and save the whole model.

    Raises RestemError if the adapter was trained on other weights, fits other layers, or changes
    tied embeddings.
    """
    import peft
    from safetensors import safe_open

    if not (adapter / ADAPTER_CONFIG).is_file():
        raise RestemError(
            "there is no adapter here", str(adapter), f"point to a folder with {ADAPTER_CONFIG}"
        )
    record = adapter / ADAPTER_BASE
    if record.is_file() and read_json(record) != weight_digests(base):
        raise _wrong_base(base, adapter, "its record names other weights")
    model, tokenizer = load_policy(base)
    embeddings = [model.get_input_embeddings(), model.get_output_embeddings()]
    with safe_open(adapter / ADAPTER_WEIGHTS, "pt") as stored:
        stored_names = set(stored.keys())
    try:
        with _no_warnings():
            adapted = peft.PeftModel.from_pretrained(model, adapter)
    except (ValueError, RuntimeError, UserWarning) as error:
        raise _wrong_base(base, adapter, str(error)) from error
    _require_mergeable(adapted, embeddings, None)
    # Ours hold updates alone; peft itself also saves embeddings that have updates.
    names = [
        set(peft.get_peft_model_state_dict(adapted, save_embedding_layers=with_embeddings))
        for with_embeddings in (False, True)
    ]
    if stored_names not in names:
        differing = min(stored_names ^ names[0])
        raise _wrong_base(base, adapter, f"{differing} is in only one of them")
    save_policy(adapted.merge_and_unload(), tokenizer, out)


def _wrong_base(base: Path, adapter: Path, reason: str) -> RestemError:
    return RestemError(
        f"the adapter does not belong to this base: {reason}",
        f"{adapter} and {base}",
        "give the checkpoint that the adapter was trained on",
    )
