"""Planning reads the same command as the job: each option from a file or a wildcard of the rule."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.errors import RestemError
from restem.stages.declaration import load_stage, stage_names
from restem.staleness.commands import check_options, rule_command

RULES = Path(__file__).parents[3] / "rules"
SHELL = re.compile(r"    shell:\n((?:        .*\n)+)")


def commands() -> dict[str, str]:
    """Return the command of every rule that runs a stage, by stage."""
    found = {}
    for path in sorted(RULES.glob("*.smk")):
        for body in SHELL.findall(path.read_text()):
            text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', body))
            if command := rule_command(text):
                found[command.stage.name] = text
    return found


class Files(dict[str, Any]):
    """The inputs or outputs of a job; any name is one file."""

    def get(self, name: str, default: Any = None) -> Any:
        return f"{name}.file"


JOB = SimpleNamespace(input=Files(), output=Files(), wildcards=SimpleNamespace(shard="2-of-8"))


def test_every_stage_is_run_by_a_rule() -> None:
    assert sorted(commands()) == stage_names()


@pytest.mark.parametrize("stage", stage_names())
def test_every_file_and_option_of_a_stage_is_read_from_its_rule(stage: str) -> None:
    text = commands()[stage]
    command = rule_command(text)
    assert command is not None
    for name in load_stage(stage).files("input"):
        assert f"--{name.replace('_', '-')} " in text
        assert command.inputs(JOB)[name]
    assert all(command.outputs(JOB).values())
    assert command.options(JOB) == ({"shard": "2-of-8"} if "--shard" in text else {})


def test_resources_are_no_part_of_a_recipe() -> None:
    options = {name: load_stage(name).options({}) for name in stage_names()}
    assert {name: o for name, o in options.items() if o} == {
        "samples": {"shard": "1-of-1"},
        "rewards": {"shard": "1-of-1"},
    }


@pytest.mark.parametrize("text", ["", None, "touch x", "restem", "restem images build cpu"])
def test_other_commands_run_no_stage(text: str | None) -> None:
    assert rule_command(text) is None


def test_a_literal_path_in_a_rule_is_refused() -> None:
    command = rule_command(
        "restem methods --output results/methods.md --settings {params.settings:q}"
    )
    assert command is not None
    with pytest.raises(RestemError, match="--output has to name a file of the rule"):
        command.outputs(JOB)


def test_wrong_options_of_a_rule_are_refused_before_its_jobs() -> None:
    with pytest.raises(RestemError) as told:
        check_options(
            ["restem methods --outptu {output.markdown:q} --settings {params.settings:q}"]
        )
    assert "no option --outptu; did you mean '--output'?; --output is missing" in str(told.value)
    with pytest.raises(RestemError, match="--settings is missing"):
        check_options([None, "touch x", "restem methods --output {output.markdown:q}"])


def test_what_the_shell_adds_is_not_read() -> None:
    text = "restem methods --output {output.markdown:q} --settings {params.settings:q}"
    command = rule_command(f"{text} 2>&1 | tee {{log:q}}")
    assert command is not None
    assert list(command.outputs(JOB)["output"]) == [Path("markdown.file")]
