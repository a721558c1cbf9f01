"""The base of every configuration block: immutable, and unknown keys are refused."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Hold one block of configuration; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
