"""A stage with a file and a folder as outputs, for tests of artifacts."""

import shutil
from pathlib import Path

from restem.artifacts.files import write_text
from restem.artifacts.seals import Recipe, changed_files, read_seal
from restem.artifacts.store import Job, produce

RECIPE = Recipe(
    stage="rewards",
    settings={"reward": {"extraction": "strict"}, "task": "chain"},
    code={"restem.stages.rewards": "c0de", "restem.artifacts.tables": "7ab1e"},
    environment="10cc",
    inputs={"samples": ["5a"], "problems": ["9b", "9c"]},
)


class ExampleStage:
    """Make a manifest and a checkpoint folder, and count how often that was computed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outputs = {"policy": root / "policy.json", "checkpoint": root / "checkpoint"}
        self.runs = 0
        self.text = "weights"

    @property
    def file(self) -> Path:
        return self.outputs["policy"]

    @property
    def weights(self) -> Path:
        return self.outputs["checkpoint"] / "deep" / "model.bin"

    def delete(self) -> None:
        """Do what Snakemake does before a job starts."""
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self.outputs["checkpoint"], ignore_errors=True)

    def make(self, recipe: Recipe = RECIPE, deleted: bool = True) -> bool:
        """Make the outputs; return whether they were restored instead of computed."""
        if deleted:
            self.delete()
        with produce(recipe, self.outputs) as job:
            if not job.reused:
                self.runs += 1
                self.write(job)
        return job.reused

    def write(self, job: Job) -> None:
        write_text(self.file, f'{{"run": {self.runs}}}\n')
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        self.weights.write_text(self.text)

    def edits(self) -> list[str]:
        """Return what planning finds changed in the outputs."""
        seal = read_seal(self.file)
        return changed_files(self.file, seal) if seal else []

    def contents(self) -> tuple[str, str]:
        return self.file.read_text(), self.weights.read_text()
