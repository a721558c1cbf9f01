"""Equal results give equal archives; an archive is checked, and its figures are plotted again."""

import json
import tarfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.accounts.costs import Cost
from restem.artifacts.schemas.estimates import ALONE, LEDGER, SUMMARY
from restem.artifacts.seals import read_seal
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.errors import RestemError
from restem.tools.archive import MANIFEST, archive, commands, unpack

ROW: dict[str, Any] = {
    "task": "math", "split": "test", "model": "S", "decoding": "greedy", "quantity": "accuracy",
    "problems": 50, "draws": 1, "seeds": 1, "seed": None, "k": 1, "low": 0.2, "high": 0.4,
    "halted": None,
}  # fmt: skip
SETTINGS = {
    "figure": "comparison", "table": "summary", "label": "n", "train_task": "math",
    "confidence": 0.95, "references": [], "kept": {}, "options": {}, "marks": [], "unmarked": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "study"
    rows = [
        ROW | {"variant": "base", "iteration": 0, "estimate": 0.3},
        ROW | {"variant": "rest-em", "iteration": 1, "estimate": 0.35},
    ]
    write_table(folder / "summary.parquet", SUMMARY, table(SUMMARY, rows), {})
    spent = {name: float(amount) for name, amount in vars(Cost(flops=5e12)).items()}
    cost = {"scope": "policy", "name": "S/rest-em/1", "charge": ALONE, **spent}
    write_table(folder / "ledger.parquet", LEDGER, table(LEDGER, [cost]), {})
    ledger = ["--ledger", str(folder / "ledger.parquet")]
    for name, module, more in (("F1", "comparison", []), ("X7", "by_compute", ledger)):
        outputs = [str(folder / "figures" / f"{name}.{kind}") for kind in ("pdf", "svg", "png")]
        estimates = ["--estimates", str(folder / "summary.parquet"), *more]
        settings = json.dumps(SETTINGS | {"figure": module})
        command = ["figure", *estimates, "--output", *outputs, "--settings", settings]
        result = CliRunner().invoke(cli, command, catch_exceptions=False)
        assert result.exit_code == 0
    return folder


def test_equal_results_give_equal_bytes(results: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        archive(results, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_figures_are_plotted_again_with_equal_bytes(results: Path, tmp_path: Path) -> None:
    archive(results, tmp_path / "a.tar.gz")
    manifest = unpack(tmp_path / "a.tar.gz", tmp_path / "elsewhere")
    assert len(list(commands(manifest, tmp_path / "elsewhere"))) == 2
    command = ["redraw", str(tmp_path / "a.tar.gz"), "--output", str(tmp_path / "again")]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert result.exit_code == 0
    for stem, kind in product(("F1", "X7"), ("pdf", "svg", "png")):
        name = f"figures/{stem}.{kind}"
        assert (tmp_path / "again" / name).read_bytes() == (results / name).read_bytes()
    for stem in ("F1", "X7"):  # plotted, not only unpacked
        assert read_seal(tmp_path / f"again/figures/{stem}.pdf") is not None


def edited(results: Path, folder: Path, edit: Callable[[Path], object]) -> Path:
    """Return an archive of which the files were edited after it was made."""
    archive(results, folder / "a.tar.gz")
    with tarfile.open(folder / "a.tar.gz") as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian's 3.11 has none
        tar.extractall(folder / "x")
    edit(folder / "x")
    with tarfile.open(folder / "b.tar.gz", "w:gz") as tar:
        for name in (MANIFEST, "summary.parquet", "ledger.parquet", "figures"):
            tar.add(folder / "x" / name, name)
    return folder / "b.tar.gz"


def test_a_changed_file_is_refused(results: Path, tmp_path: Path) -> None:
    bundle = edited(results, tmp_path, lambda x: (x / "summary.parquet").write_bytes(b"other"))
    with pytest.raises(RestemError, match="manifest"):
        unpack(bundle, tmp_path / "y")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_archive_is_refused_and_writes_nothing(
    results: Path, tmp_path: Path, share: float
) -> None:
    archive(results, tmp_path / "a.tar.gz")
    content = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "b.tar.gz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(RestemError, match="archive"):
        unpack(tmp_path / "b.tar.gz", tmp_path / "y")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(("key", "value"), [("outputs", ["../../x.pdf"]), ("input", "/etc/passwd")])
def test_a_manifest_that_names_files_outside_is_refused(
    results: Path, tmp_path: Path, key: str, value: object
) -> None:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["figures"][0][key] = value
        (folder / MANIFEST).write_text(json.dumps(manifest))

    bundle = edited(results, tmp_path, edit)
    with pytest.raises(RestemError, match="outside the archive"):
        unpack(bundle, tmp_path / "y")


def test_a_study_without_estimates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="no estimates"):
        archive(tmp_path, tmp_path / "a.tar.gz")
