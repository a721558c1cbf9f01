"""Convert the GGUF weights that a Python package ships into a Hugging Face checkpoint.

The package of a large file consists of several: `<package>-part1`, `-part2` and so on hold the
pieces, in this order, and the package itself the SHA-256 of the whole.
"""

import hashlib
import importlib.metadata
import itertools
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from restem.config.models import PACKAGED, PackageModel
from restem.errors import RestemError

_WEIGHTS: Final = re.compile(r".*\.gguf(\.part\d+)?")
_ADDS_START: Final = "tokenizer.ggml.add_bos_token"


def files(source: PackageModel) -> list[Path]:
    """Return the GGUF file or its pieces; none if one is missing, which `fetch` reports."""
    try:
        return _pieces(source.package)
    except RestemError:
        return []


def fetch(source: PackageModel, checkpoint: Path) -> None:
    """Write the model of an installed package as safetensors in float32.

    Transformers treats a model loaded from GGUF as quantised and refuses to save it, so the
    weights are copied into a plain model of the same configuration. Raises RestemError if a package
    is missing or the pieces are not the file that was divided.
    """
    from restem.libraries import transformers
    from restem.policies.weights import load_weights

    transformers.utils.logging.disable_progress_bar()
    with _whole(source.package, checkpoint.parent) as gguf:
        tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        _add_start_token(tokenizer, gguf)
        loaded = load_weights(gguf.parent, gguf_file=gguf.name)
    config = type(loaded.config).from_dict(
        {k: v for k, v in loaded.config.to_dict().items() if k != "quantization_config"}
    )
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.generation_config = loaded.generation_config
    plain.save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)


def _add_start_token(tokenizer: Any, gguf: Path) -> None:
    """Let texts begin with the start token if the file says so; transformers ignores that."""
    from gguf import GGUFReader
    from tokenizers.processors import TemplateProcessing

    from restem.policies.tokenizer import start_ids

    field = GGUFReader(str(gguf)).get_field(_ADDS_START)
    if field is not None and field.contents() and not start_ids(tokenizer):
        start = tokenizer.bos_token
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single=f"{start} $A",
            pair=f"{start} $A {start}:1 $B:1",
            special_tokens=[(start, tokenizer.bos_token_id)],
        )


@contextmanager
def _whole(package: str, beside: Path) -> Iterator[Path]:
    """Give the GGUF file of a package, whose pieces are joined in a folder that is removed."""
    first, *others = _pieces(package)
    if not others:
        yield first
        return
    with tempfile.TemporaryDirectory(dir=beside) as folder:
        joined = Path(folder, first.name.partition(".part")[0])
        with joined.open("wb") as whole:
            for piece in (first, *others):
                with piece.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        with joined.open("rb") as whole:
            digest = hashlib.file_digest(whole, "sha256").hexdigest()
        sums = [file.read_text() for file in _files_of(package) if file.name == "SHA256SUMS"]
        if not any(digest in text.split() for text in sums):
            raise _unusable(package, "the pieces are not the file that was divided")
        yield joined


def _pieces(package: str) -> list[Path]:
    """List the files that hold a package's weights, in order."""
    packages = [package]
    for number in itertools.count(1):
        if not _is_installed(part := f"{package}-part{number}"):
            break
        packages.append(part)
    found = [f for name in packages for f in _files_of(name) if _WEIGHTS.fullmatch(f.name)]
    stated = importlib.metadata.requires(package) or []
    missing = {line.partition("==")[0].strip() for line in stated if "-part" in line}
    if missing := missing - set(packages):
        raise _unusable(package, f"{', '.join(sorted(missing))} is not installed")
    if not found:
        raise _unusable(package, "it ships no GGUF file")
    return found


def _files_of(package: str) -> list[Path]:
    try:
        listed = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError as error:
        raise _unusable(package, "it is not installed") from error
    return [Path(str(file.locate())) for file in listed]


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _unusable(package: str, reason: str) -> RestemError:
    return RestemError(
        f"the package {package} cannot be used: {reason}",
        "models.*.source.package",
        f"run `{PACKAGED[package].install}`",
    )
