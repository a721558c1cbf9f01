"""Settings pass a command line, however many they are."""

import subprocess

import pytest

from restem.stages.execution import as_argument, from_argument

LARGE = {"groups": {f"math/S/rest-em/seed-0/iter-{n}": list(range(n)) for n in range(900)}}


@pytest.mark.parametrize("settings", [{}, {"task": "chain", "shots": [1, "ä"]}, LARGE])
def test_what_is_written_is_read(settings: dict) -> None:
    assert from_argument(as_argument(settings)) == settings


def test_short_settings_stay_readable() -> None:
    assert as_argument({"b": 1, "a": "é"}) == '{"a":"é","b":1}'


def test_long_settings_are_one_argument_that_linux_takes() -> None:
    assert len(str(LARGE)) > 1_000_000
    done = subprocess.run(["true", as_argument(LARGE)], check=False)
    assert done.returncode == 0


def test_the_order_of_keys_is_no_difference() -> None:
    assert as_argument(dict(reversed(LARGE["groups"].items()))) == as_argument(LARGE["groups"])


@pytest.mark.parametrize("text", ["", "{", "zlib:", "zlib:!", "zlib:aGVsbG8=", "zlib:e30"])
def test_what_is_damaged_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_argument(text)
