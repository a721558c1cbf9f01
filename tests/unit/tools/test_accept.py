"""What `restem accept` refuses before it plans; tests/workflow/test_keeping.py has the rest."""

from pathlib import Path

import pytest

from restem.errors import RestemError
from restem.tools.accept import accept


@pytest.mark.parametrize("content", [None, "study: [", "\tstudy: demo"])
def test_a_study_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    study = tmp_path / "mine.yaml"
    if content is not None:
        study.write_text(content)
    with pytest.raises(RestemError) as told:
        accept(["restem.errors"], study, "only words")
    assert "mine.yaml" in told.value.where
