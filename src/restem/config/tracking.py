"""Where runs are published for people to look at."""

from pydantic import Field

from restem.config.strict import Strict


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
