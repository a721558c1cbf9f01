"""Check that the tokenizer covers the embedded world and nothing else."""

import random

import pytest

pytest.importorskip("transformers")

from restem.embedded import corpus, knights, world
from restem.embedded.pretraining import RECIPES
from restem.embedded.tokenizer import SPECIAL, build_tokenizer, vocabulary


def test_every_text_of_the_world_survives_the_round_trip() -> None:
    tokenizer, rng = build_tokenizer(), random.Random(2)
    for i in range(300):
        text = "".join(p.text for p in corpus.document(rng, corpus.CorpusRecipe(), i / 300))
        tokens = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in tokens, text
        assert tokenizer.decode(tokens) == text


@pytest.mark.parametrize("size", sorted(RECIPES))
def test_every_corpus_survives_the_round_trip_in_its_own_tokenizer(size: str) -> None:
    recipe, rng = RECIPES[size], random.Random(3)
    tokenizer = build_tokenizer(recipe.families)
    for i in range(200):
        text = "".join(p.text for p in corpus.document(rng, recipe.corpus, i / 200))
        tokens = tokenizer(text).input_ids
        assert tokenizer.unk_token_id not in tokens, text
        assert tokenizer.decode(tokens) == text


def test_words_of_puzzles_are_in_their_own_tokenizer_only() -> None:
    assert " knave" in vocabulary((knights.FAMILY,))
    assert " knave" not in vocabulary()
    assert set(vocabulary()) < set(vocabulary((knights.FAMILY,)))


def test_references_and_shots_survive_the_round_trip() -> None:
    tokenizer = build_tokenizer()
    for family in ("chain", "story", "facts"):
        problems = world.problems(family, "validation", 60)
        texts = [text for p in problems for text in (p["question"], *p["solutions"].values())]
        texts += [text for shot in world.few_shot(family) for text in shot.values()]
        for text in texts:
            assert tokenizer.decode(tokenizer(f" {text}").input_ids) == f" {text}"


def test_a_foreign_word_becomes_unknown() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer(" zebra").input_ids == [tokenizer.unk_token_id]


def test_an_operation_and_a_number_are_one_token_each() -> None:
    assert build_tokenizer().tokenize("18*2-40=9") == ["18", "*2", "-40", "=", "9"]


def test_the_vocabulary_has_no_duplicates_and_starts_with_the_special_tokens() -> None:
    tokens = vocabulary()
    assert len(set(tokens)) == len(tokens)
    assert tuple(tokens[:4]) == SPECIAL
    assert set(world.OPERATIONS) <= set(tokens)


def test_every_special_role_has_its_token() -> None:
    tokenizer = build_tokenizer()
    special = (tokenizer.pad_token, tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token)
    assert special == SPECIAL
