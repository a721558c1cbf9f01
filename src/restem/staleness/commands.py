"""Read the command of a rule: which stage it runs, on which inputs, outputs and options.

The recipe of a job is what its command will compute. So planning reads the same command, as a
template: what `--policy {input.policy:q}` says is the input `policy` of the stage.
"""

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from restem.errors import RestemError, nearest
from restem.stages.declaration import Stage, file_of, load_stage, stage_names

_FILES: Final = re.compile(r"\{(input|output)\.(\w+)(?::q)?\}")
_OF_EVERY_STAGE: Final = ("settings", "code", "environment")
_OF_THE_SHELL: Final = ("|", "||", "&&", ";", "2>&1", ">", "2>", "<")


@dataclass(frozen=True)
class RuleCommand:
    """The command of a rule that runs a stage; words: what follows each option, as in the rule."""

    stage: Stage
    words: Mapping[str, list[str]]

    def files(self, name: str, job: Any) -> list[Path]:
        """Return the files of a job that an option of its command names."""
        paths: list[Path] = []
        for word in self.words.get(name, []):
            match = _FILES.fullmatch(word)
            if match is None:
                raise RestemError(
                    f"{_option(name)} has to name a file of the rule, not {word}",
                    f"the command of the stage {self.stage.name}",
                    "write {input.<name>:q} or {output.<name>:q}",
                )
            of_job = getattr(job, match[1]).get(match[2])
            paths += [Path(of_job)] if isinstance(of_job, str) else map(Path, of_job)
        return paths

    def inputs(self, job: Any) -> dict[str, list[Path]]:
        """Return the input files of a job, by parameter of the stage."""
        return {name: self.files(name, job) for name in self.stage.files("input")}

    def outputs(self, job: Any) -> dict[str, list[Path]]:
        """Return the output files of a job, by parameter of the stage."""
        return {name: self.files(name, job) for name in self.stage.files("output")}

    def options(self, job: Any) -> dict[str, Any]:
        """Return the options of a job that determine what it makes."""
        values = {}
        for name, (kind, _) in self.stage.parameters.items():
            if name in self.words and not file_of(kind):
                text = " ".join(self.words[name])
                if name in self.stage.options({}):
                    values[name] = kind(text.format(wildcards=job.wildcards))
        return self.stage.options(values)


@cache
def rule_command(shell: str | None) -> RuleCommand | None:
    """Read the command of a rule; None if it does not run a stage."""
    words = shlex.split(shell or "")
    name = words[1].replace("-", "_") if words[:1] == ["restem"] and len(words) > 1 else ""
    if name not in stage_names():
        return None
    by_option: dict[str, list[str]] = {}
    option = ""
    for word in words[2:]:
        if word in _OF_THE_SHELL:
            break
        if word.startswith("--"):
            option = word[2:].replace("-", "_")
            by_option[option] = []
        elif option:
            by_option[option].append(word)
    return RuleCommand(load_stage(name), by_option)


def check_options(shells: Iterable[str | None]) -> None:
    """Raise RestemError if the command of a rule has options that its stage would refuse."""
    for command in filter(None, map(rule_command, shells)):
        _check_options(command.stage, command.words)


def _check_options(stage: Stage, stated: Mapping[str, Any]) -> None:
    known = {_option(name) for name in (*stage.parameters, *_OF_EVERY_STAGE)}
    required = {n for n, (_, p) in stage.parameters.items() if p.default is p.empty}
    unknown = [option for option in map(_option, stated) if option not in known]
    wrong = [f"it has no option {option}{nearest(option, known)}" for option in unknown]
    wrong += [f"{_option(n)} is missing" for n in sorted({"settings", *required} - stated.keys())]
    if wrong:
        raise RestemError(
            f"a rule runs the stage {stage.name} with wrong options: {'; '.join(wrong)}",
            "rules/",
            f"name the parameters of restem.stages.{stage.name}.run, as `restem "
            f"{stage.name.replace('_', '-')} --help` lists them",
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
