"""Check the shipped base models against the code and the rule that they claim to follow."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from restem.embedded import acceptance, weights
from restem.embedded.pretraining import RECIPES
from restem.embedded.tokenizer import build_tokenizer


@pytest.fixture(params=weights.sizes())
def size(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_small_size_is_shipped_and_all_of_them_stay_small() -> None:
    files = [path for path in weights.HERE.rglob("*") if path.is_file()]
    assert "S" in weights.sizes()
    assert sum(path.stat().st_size for path in files) <= 12 * 2**20


def test_weights_were_made_by_the_present_recipe(size: str) -> None:
    assert weights.recipe(size)["digest"] == RECIPES[size].digest()


def test_the_shipped_seed_is_the_first_that_the_rule_accepts(size: str) -> None:
    made = weights.recipe(size)
    names = acceptance.BOUNDS if size in ("S", "L") else acceptance.OF_ONE_FAMILY
    verdicts = {
        int(seed): not acceptance.judge(figures, names)
        for seed, figures in made["validation"].items()
    }
    assert sorted(verdicts) == list(range(len(verdicts)))
    assert made["seed"] == min(seed for seed, accepted in verdicts.items() if accepted)


def test_unpacking_gives_a_loadable_checkpoint(size: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    weights.unpack(size, tmp_path / "base")
    assert not (tmp_path / "base" / weights.RECIPE).exists()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert tokenizer.get_vocab() == build_tokenizer(RECIPES[size].families).get_vocab()
    assert model.config.vocab_size == len(tokenizer)
    assert model.num_parameters() == weights.recipe(size)["parameters"]


def test_an_unknown_size_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"only .*S"):
        weights.unpack("XXL", tmp_path)
