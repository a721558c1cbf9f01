"""Convert the GGUF weights that a Python package ships into a Hugging Face checkpoint."""

import importlib.metadata
from pathlib import Path

from restem.config.models import PackageModel
from restem.errors import RestemError


def files(source: PackageModel) -> list[Path]:
    """Return the GGUF file; none if the package is not installed, which `fetch` reports."""
    try:
        return [_gguf_file(source.package)]
    except RestemError:
        return []


def fetch(source: PackageModel, checkpoint: Path) -> None:
    """Write the model of an installed package as safetensors in float32.

    Transformers treats a model loaded from GGUF as quantised and refuses to save it, so the
    weights are copied into a plain model of the same configuration.
    """
    import transformers
    from transformers import AutoTokenizer

    from restem.policies.weights import load_weights

    transformers.utils.logging.disable_progress_bar()
    gguf = _gguf_file(source.package)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    loaded = load_weights(gguf.parent, gguf_file=gguf.name)
    config = type(loaded.config).from_dict(
        {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    )
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)


def _gguf_file(package: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise RestemError(
            f"the package {package} is not installed",
            "models.*.source.package",
            "run `make smollm2`",
        ) from error
    for file in files:
        if file.name.endswith(".gguf"):
            return Path(str(file.locate()))
    raise RestemError(
        f"the package {package} ships no GGUF file", "models.*.source.package", "reinstall it"
    )
