"""The command line: lists, refusals in three parts, and help for every command."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from restem import cli
from restem.artifacts.digests import code_digest
from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.seals import read_seal
from restem.artifacts.tables import read_provenance, read_rows, table, write_table
from restem.stages.declaration import load_stage, stage_names
from restem.study import slices
from restem.tools.stage_commands import StageCommand, command_of

STATED = {
    "task": "chain",
    "split": "train",
    "data": {"source": {"kind": "embedded", "pool": 8}, "train": 3},
}
OVERLAP = {"tables": [["chain", "test"], ["chain", "train"]]}


def restem(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the real command in a process of its own."""
    command = [sys.executable, "-c", "from restem.cli import main; main()", *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


def problems(output: Path, settings: Any = STATED, *more: object) -> Sequence[object]:
    return ("problems", "--output", output, "--settings", json.dumps(settings), *more)


# ---- options that take lists ----


def parse(*arguments: str) -> dict[str, Any]:
    """Return what a command with two lists and a file understands."""
    found: dict[str, Any] = {}

    @click.command(cls=StageCommand)
    @click.option("--data", multiple=True)
    @click.option("--more", multiple=True)
    @click.option("--output", "-o")
    @click.option("--threads", type=int, default=1)
    def command(**options: Any) -> None:
        found.update(options)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return found


def test_a_list_takes_none_one_or_several_values() -> None:
    assert parse("--data", "--output", "x")["data"] == ()
    assert parse("--data", "a", "--output", "x")["data"] == ("a",)
    assert parse("--data", "a", "b", "c", "--output", "x")["data"] == ("a", "b", "c")
    assert parse("--output", "x")["data"] == ()


def test_lists_end_where_the_next_option_starts() -> None:
    found = parse("--data", "a", "b", "--threads", "4", "--more", "--output", "x")
    assert found == {"data": ("a", "b"), "more": (), "output": "x", "threads": 4}
    assert parse("--output", "x", "--more", "a", "--data", "b", "c")["data"] == ("b", "c")


def test_a_list_may_be_given_value_by_value() -> None:
    assert parse("--data", "a", "--data", "b")["data"] == ("a", "b")


def test_a_list_may_be_given_with_an_equals_sign() -> None:
    assert parse("--data=a", "--output=x") == {
        "data": ("a",),
        "more": (),
        "output": "x",
        "threads": 1,
    }


def test_settings_and_paths_with_blanks_are_values() -> None:
    assert parse("--data", "a b", '{"c": 1}', "--output", "d e")["data"] == ("a b", '{"c": 1}')


def test_every_stage_command_reads_lists() -> None:
    for name in stage_names():
        assert isinstance(command_of(load_stage(name)), StageCommand)


# ---- a stage's command ----


def test_a_command_makes_its_artifact_and_seals_it(tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    done = restem(*problems(output))
    assert done.returncode == 0, done.stderr
    assert len(read_rows(output, PROBLEMS)) == 3
    seal = read_seal(output)
    assert seal is not None
    assert seal["settings"] == STATED
    again = restem(*problems(output))
    assert "reused" in again.stdout


def test_a_command_records_its_environment_and_its_inputs(tmp_path: Path) -> None:
    tables = [tmp_path / "test.parquet", tmp_path / "train.parquet"]
    for path in tables:
        write_table(path, PROBLEMS, table(PROBLEMS, []), {})
    output = tmp_path / "overlap.parquet"
    done = restem(
        "overlap", "--problems", *tables, "--output", output, "--settings", json.dumps(OVERLAP),
        "--environment", "10cc",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    recorded = read_provenance(output)
    assert recorded["environment"] == "10cc"
    assert recorded["inputs"] == {"problems": [read_provenance(p)["content"] for p in tables]}


def test_the_planned_code_is_accepted(tmp_path: Path) -> None:
    code = code_digest(load_stage("problems").modules(STATED))
    output = tmp_path / "train.parquet"
    done = restem(*problems(output, STATED, "--code", code))
    assert done.returncode == 0, done.stderr


# ---- refusals ----


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """Return an error that has its three parts and no traceback."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    what, where, fix = done.stderr.rstrip().rsplit("\n", 2)
    assert what.startswith("restem: ")
    assert where.startswith("  where: ")
    assert fix.startswith("  what to do: ")
    return done.stderr


def test_other_code_than_planned_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "train.parquet"
    told = refused(restem(*problems(output, STATED, "--code", "0" * 64)))
    assert "not the one that this job was planned with" in told
    assert not output.exists()


@pytest.mark.parametrize("text", ["{", "", "not json", "[1]", "7", '"text"'])
def test_settings_that_are_no_json_object_are_refused(tmp_path: Path, text: str) -> None:
    done = restem("problems", "--output", tmp_path / "a.parquet", "--settings", text)
    assert "--settings" in refused(done)


def test_settings_that_do_not_fit_are_refused_with_the_key(tmp_path: Path) -> None:
    settings = {**STATED, "splitt": "train", "split": "traim"}
    told = refused(restem(*problems(tmp_path / "a.parquet", settings)))
    assert "splitt: unknown key; did you mean 'split'?" in told
    assert "split: " in told


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    told = refused(restem(*problems(tmp_path / "a.parquet", {**STATED, "task": "chian"})))
    assert "module 'restem.tasks.chian' not found" in told


def test_a_damaged_input_is_refused_by_its_name(tmp_path: Path) -> None:
    damaged = tmp_path / "test.parquet"
    damaged.write_text("no table")
    output = tmp_path / "overlap.parquet"
    settings = json.dumps(OVERLAP)
    done = restem("overlap", "--problems", damaged, "--output", output, "--settings", settings)
    assert str(damaged) in refused(done)


def test_a_missing_input_is_refused_by_its_name(tmp_path: Path) -> None:
    settings = json.dumps(OVERLAP)
    done = restem(
        "overlap", "--problems", tmp_path / "none.parquet", "--output", tmp_path / "o.parquet",
        "--settings", settings,
    )  # fmt: skip
    assert "none.parquet" in refused(done)


def test_a_missing_option_is_told_by_click(tmp_path: Path) -> None:
    done = restem("problems", "--output", tmp_path / "a.parquet")
    assert done.returncode == 2
    assert "--settings" in done.stderr


def test_an_unknown_option_is_told_by_click(tmp_path: Path) -> None:
    done = restem(*problems(tmp_path / "a.parquet", STATED, "--outptu", "x"))
    assert done.returncode == 2
    assert "--output" in done.stderr


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError), cli.fail_readably():
        raise ZeroDivisionError


def raised(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def run() -> None:
        raise error from cause

    return run


def system_error(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (raised(system_error(errno.ENOSPC, "results/a.pdf")), "No space left on device .*a.pdf"),
        (raised(system_error(errno.EACCES, "/etc/x")), "Permission denied .*/etc/x .*rights"),
        (raised(system_error(errno.EMFILE)), "Too many open files .*ulimit"),
        (raised(OSError("writing failed: No space left on device")), ".*make room"),
        (raised(RuntimeError("I/O error: No space left on device (os error 28)")), ".*make room"),
        (raised(ValueError("no figure"), system_error(errno.EROFS, "a.png")), "Read-only .*a.png"),
    ],
)
def test_what_the_system_refuses_is_told_in_three_parts(
    run: Callable[[], None], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), cli.fail_readably():
        run()
    told = capsys.readouterr().err
    assert re.match("restem: the system refuses: " + expected, " ".join(told.split()))


def test_what_happened_while_another_error_was_handled_is_not_its_cause() -> None:
    with pytest.raises(KeyError), cli.fail_readably():
        try:
            raise system_error(errno.EACCES)
        except OSError:
            raise KeyError("a bug")  # noqa: B904


def test_a_full_disk_is_told_by_a_stage(tmp_path: Path) -> None:
    """A limit on the size of files is what a test can fill."""
    command = [sys.executable, "-W", "ignore", "-m", "restem.cli"]
    command += map(str, problems(tmp_path / "a.parquet"))
    limited = f"ulimit -f 1; exec {shlex.join(command)}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the system refuses: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.glob("*.parquet")) == []


# ---- help ----


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("name", ["", *cli.cli.commands])
def test_every_command_has_help(name: str, flag: str) -> None:
    result = CliRunner().invoke(cli.cli, [name, flag] if name else [flag])
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_every_stage_is_a_command_with_an_option_for_each_parameter() -> None:
    names = cli.cli.list_commands(click.Context(cli.cli))
    for name in stage_names():
        assert name.replace("_", "-") in names
        command = cli.cli.get_command(click.Context(cli.cli), name.replace("_", "-"))
        assert isinstance(command, StageCommand)
        options = {parameter.name for parameter in command.params}
        assert options == {*load_stage(name).parameters, "settings", "code", "environment"}
        assert command.help


def test_every_stage_has_a_lock_and_a_slice_and_a_rule() -> None:
    root = Path(__file__).parents[3]
    rules = "".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    for name in stage_names():
        assert (root / "envs" / f"{load_stage(name).lock}.txt").is_file()
        assert callable(getattr(slices, name))
        assert rules.count(f'stage("{name}")') == 1
        assert f'"restem {name.replace("_", "-")}"' in rules


def test_help_does_not_load_an_engine() -> None:
    code = "import sys; from restem.cli import cli\ntry: cli(['-h'])\nexcept SystemExit: pass\n"
    code += "sys.exit(bool({'torch', 'transformers', 'matplotlib', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0


def test_the_schema_is_printed_and_written(tmp_path: Path) -> None:
    printed = CliRunner().invoke(cli.cli, ["schema"]).output
    result = CliRunner().invoke(cli.cli, ["schema", "--output", str(tmp_path / "schema.json")])
    assert result.exit_code == 0
    assert (tmp_path / "schema.json").read_text() == printed
    assert json.loads(printed)["title"] == "Study"


# ---- being told to stop ----


def test_sigterm_ends_a_stage_like_an_exception(tmp_path: Path) -> None:
    """Snakemake and Slurm send it; what a stage saves in a `finally` must be saved."""
    saved = tmp_path / "saved"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom restem import cli\n"
        "def cli_(): \n"
        "    try: os.kill(os.getpid(), signal.SIGTERM); signal.pause()\n"
        "    finally: Path(sys.argv[1]).touch()\n"
        "cli.cli = cli_\ncli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved)], timeout=60)
    assert done.returncode == 143
    assert saved.exists()
