"""Load all weights of a checkpoint: what transformers only warns of is refused here.

Transformers gives random values to tensors that a checkpoint lacks, or that have another shape, and
leaves out those that the model has no place for. What a family of models is known to leave out
(tied output layers, old rotary tables) is no fault; transformers knows it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open

from restem.artifacts.files import read_json
from restem.errors import RestemError
from restem.libraries import transformers
from restem.policies.flops import shapes_in

_NAMED: Final = 8  # tensors that a message names


def load_weights(folder: Path, **options: Any) -> Any:
    """Load the whole model of a folder; options: of `from_pretrained`.

    Raises RestemError, with the names, if tensors are missing, superfluous or of another shape, and
    if the folder holds no model that can be loaded.
    """
    with _explained(folder):
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            **options,
        )
    _refuse(found, folder)
    _refuse_untied(model, folder)
    return model


def require_weights(folder: Path) -> None:
    """Raise RestemError where `load_weights` would; reads names and shapes, and no weights.

    Quantised weights, which only vLLM reads, have names of their own and are left to vLLM.
    """
    transformers.utils.logging.disable_progress_bar()
    with _explained(folder):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        if getattr(config, "quantization_config", None):
            return
        with torch.device("meta"):
            kind = type(transformers.AutoModelForCausalLM.from_config(config))
        if not _files(folder):
            raise OSError("it has no model.safetensors and no index of shards")
        shapes = {name: shape for file in _files(folder) for name, shape in shapes_in(file).items()}
        # Expanded from one number, tensors of any shape take no memory.
        stored = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
        model, found = kind.from_pretrained(
            None,
            config=config,
            state_dict=stored,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    _refuse(found, folder)
    _refuse_untied(model, folder)


def _files(folder: Path) -> list[Path]:
    """Return the files that transformers reads; some folders hold the weights in a second form."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file() or not index.is_file():
        return [whole] if whole.is_file() else []
    return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]


def _refuse(found: Mapping[str, Any], folder: Path) -> None:
    """Refuse what transformers found missing, superfluous or of another shape."""
    mismatched = [
        f"{name} {list(stored)} instead of {list(wanted)}"
        for name, stored, wanted in sorted(found["mismatched_keys"])
    ]
    problems = [
        *_named("missing", sorted(found["missing_keys"])),
        *_named("unknown to the model", sorted(found["unexpected_keys"])),
        *_named("of another shape", mismatched),
        *map(str, found.get("error_msgs", ())),
    ]
    if problems:
        raise RestemError(
            "the weights are not those of the model that config.json describes: "
            + "; ".join(problems),
            str(folder),
            "fetch or save the checkpoint again, whole, or correct its config.json",
        )


def _named(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    count = "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"
    return [f"{count} {what} ({', '.join(names[:_NAMED])}{more})"]


def _refuse_untied(model: Any, folder: Path) -> None:
    """Refuse two stored tensors that should be one: transformers keeps both, vLLM the first."""
    # Where they differ, transformers has taken the pair out of `all_tied_weights_keys`.
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)
    for one, other in tied.items():
        values = [value for name in (one, other) if (value := _stored(folder, name)) is not None]
        if len(values) == 2 and not torch.equal(*values):
            raise RestemError(
                f"config.json ties {one} to {other}, but the weights hold two different tensors",
                str(folder),
                "set `tie_word_embeddings: false` in config.json, or remove the tensor that is "
                "not meant",
            )


def _stored(folder: Path, name: str) -> torch.Tensor | None:
    for file in _files(folder):
        if name in shapes_in(file):
            with safe_open(file, "pt") as stored:
                return stored.get_tensor(name)  # type: ignore[no-any-return]
    return None


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        raise RestemError(
            f"the checkpoint cannot be loaded: {error}",
            str(folder),
            "point to a directory with config.json, safetensors weights and a tokenizer",
        ) from error
