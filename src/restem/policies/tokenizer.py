"""Load a tokenizer, and find the special tokens with which it begins a text.

A prompt is a text that goes on: it begins as the texts of pretraining did, and has no end. Some
tokenizers also append the end-of-text token, or begin a text twice; models that were trained from
such a prompt, or sample after it, see something new.
"""

from pathlib import Path
from typing import Any, Final

from restem.artifacts.files import read_json
from restem.errors import RestemError
from restem.libraries import transformers

_PROBE: Final = "a"
# Families that were pretrained with a start token before every text, and do badly without it.
_NEED_START: Final = ("gemma",)


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a checkpoint.

    Raises RestemError if it cannot be loaded, if it has more tokens than the model, if it changes
    prompts in a way that no model was trained with, or if it lacks the start token that the model's
    family or its own configuration asks for.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise RestemError(
            f"the tokenizer cannot be loaded: {error}",
            str(folder),
            "point to a directory with config.json, safetensors weights and a tokenizer",
        ) from error
    config = _json(folder / "config.json")
    rows = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    if rows and tokenizer.vocab_size > rows:  # added tokens may be more: texts do not hold them
        raise RestemError(
            f"the tokenizer has {tokenizer.vocab_size} tokens, and the model knows {rows}",
            str(folder),
            "take the tokenizer that the model was published with",
        )
    if not start_ids(tokenizer) and (reason := _needs_start(folder)):
        raise RestemError(
            f"the tokenizer puts no start token before a text, but {reason}",
            str(folder),
            "give its tokenizer.json a post-processor that adds the start token, or take the "
            "tokenizer that the model was published with",
        )
    return tokenizer


def start_ids(tokenizer: Any) -> list[int]:
    """Return the special tokens before a text, each once; an end-of-text token after it is dropped.

    Raises RestemError if the tokenizer puts other special tokens after a text.
    """
    bare = list(tokenizer(_PROBE, add_special_tokens=False).input_ids)
    framed = list(tokenizer(_PROBE).input_ids)
    last = len(framed) - len(bare)
    start = next((n for n in range(last + 1) if framed[n : n + len(bare)] == bare), None)
    after = framed[last if start is None else start + len(bare) :]
    is_closed = bool(bare) and bare[-1] == tokenizer.eos_token_id
    if start is None or is_closed or set(after) - {tokenizer.eos_token_id}:
        tokens = " ".join(map(str, tokenizer.convert_ids_to_tokens(framed)))
        raise RestemError(
            f"the tokenizer makes {tokens} of the prompt {_PROBE!r}, which no text begins with",
            str(tokenizer.name_or_path),
            "give its tokenizer.json a post-processor that adds a start token at most",
        )
    return list(dict.fromkeys(framed[:start]))


def _needs_start(folder: Path) -> str | None:
    """Return why texts of a model have to begin with a start token; None if they need not."""
    kind = str(_json(folder / "config.json").get("model_type", ""))
    if any(name in kind for name in _NEED_START):
        return f"models of the family {kind} were pretrained with one"
    if _json(folder / "tokenizer_config.json").get("add_bos_token") is True:
        return "its tokenizer_config.json says `add_bos_token: true`"
    return None


def _json(file: Path) -> dict[str, Any]:
    return dict(read_json(file)) if file.is_file() else {}
