"""A tiny base model that restem ships, or pretrains from scratch."""

from pathlib import Path

from restem.config.models import EmbeddedModel
from restem.embedded import weights
from restem.errors import RestemError
from restem.policies.sources.local import checkpoint_files


def files(source: EmbeddedModel) -> list[Path]:
    """Return the shipped files; none if the model is pretrained here."""
    return [] if source.pretrain else checkpoint_files(weights.HERE / source.size)


def fetch(source: EmbeddedModel, checkpoint: Path) -> None:
    """Unpack the shipped weights, or pretrain."""
    if source.pretrain:
        from restem.embedded.pretraining import pretrain

        pretrain(source.size, source.seed, checkpoint)
        return
    try:
        weights.unpack(source.size, checkpoint)
    except FileNotFoundError as error:
        raise RestemError(
            str(error), "models.*.source.size", "use a shipped size, or set pretrain: true"
        ) from error
