"""What an M-step makes of the examples; one module for each `m_step.kind` of a method."""

from pathlib import Path
from typing import Annotated, Any

from restem.artifacts.schemas.loop import EXAMPLES, KEPT
from restem.artifacts.seals import state_folder
from restem.artifacts.tables import read_rows
from restem.config.base import Loads, Strict, TaskModule, VerifierModule
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings, PromptKind
from restem.config.reward import Reward
from restem.config.steps import MStep
from restem.config.training import Training
from restem.tasks.problem import Problem, read_problems


class Settings(Strict):
    """What the stage `policy` reads of the configuration; training: only to fine-tune.

    validation, verifier, reward: how validations draw and judge. An M-step that never validates has
    none of them, so none of them makes its policy stale. graded, flip: of selection's reward, for
    that of validation. A reward that is noisy in selection is as noisy here: nobody who trains with
    it has a better one to stop by. prompt: the form of prompts and targets.
    """

    task: TaskModule
    verifier: VerifierModule = ""
    reward: Reward = Reward()
    engine: EngineSettings
    validation: Decoding | None = None
    prompt: PromptKind = "base"
    graded: bool = False
    flip: float = 0.0
    seed: int
    m_step: Annotated[MStep, Loads("restem.training.m_steps.{kind}")] = MStep()
    training: Training = Training()


class MStepInputs(Strict):
    """What an M-step reads, and where it puts the checkpoint.

    start, averaged_with: policy.json of the weights to start from, and of those to average with.
    validation: problems to measure the reward on; none if that is never done.
    threads: of one process. save_seconds: time between two saves of the state of a fine-tuning.
    """

    settings: Settings
    examples: Path
    start: Path
    averaged_with: tuple[Path, ...]
    validation: tuple[Path, ...]
    shots: Path
    threads: int
    save_seconds: float
    output: Path
    checkpoint: Path

    @property
    def scratch(self) -> Path:
        """Return an undeclared folder for the state of the M-step, which ends with the stage."""
        return state_folder(self.output) / "training"

    def validation_problems(self) -> list[Problem]:
        """Return the problems that the reward is measured on."""
        return [problem for path in self.validation for problem in read_problems(path)]

    def kept(self) -> list[dict[str, Any]]:
        """Return the examples that were kept."""
        rows = read_rows(self.examples, EXAMPLES)
        return [row for row in rows if row["decision"] == KEPT]
