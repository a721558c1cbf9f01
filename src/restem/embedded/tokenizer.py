"""Build the word-level tokenizer of the embedded world from its grammar.

An operation with its operand (`+7`, `*2`) is one token, and so are each number and each label
(`b=`, ` Tue `). A model this small then has one embedding to copy, one table to learn and one token
by which to look up a step, instead of pieces to align.
"""

import re
from collections.abc import Collection
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from restem.embedded import knights, world
from restem.libraries import transformers

SPECIAL: Final = ("<pad>", "<bos>", "<eos>", "<unk>")
PATTERN: Final = "|".join(
    (
        r"[+\-*]\d{1,2}",
        r"\d{1,2}",
        r"\b[a-z]=",
        rf" (?:{'|'.join(world.MONTHS)}) ",
        r" ?[A-Za-z]+:?",
        r"\\[a-z]+\{",
        r"\n\n",
        r"#### ",
        r" ?\$",
        r"\s",
        r"[^\s\w]",
    )
)


def _grammar_texts(families: Collection[str]) -> list[str]:
    words = (*world.NAMES, *world.THINGS, *world.OWNERS, *world.ANIMALS, *world.COLOURS)
    texts = [world.END, *world.OPENINGS, *(f" {word}" for word in words)]
    texts += [f" {month} " for month in world.MONTHS]
    texts += [text for letter in world.LETTERS for text in (letter, f"{letter}=")]
    for family in ("chain", "story", "facts"):
        problem = world.problems(family, "train", 1)[0]
        texts.append(world.PROMPT[family].format(question=problem["question"]))
        texts.append(problem["solutions"]["careful"])
    return texts + (_puzzle_texts() if knights.FAMILY in families else [])


def _puzzle_texts() -> list[str]:
    texts = []
    for knight in (True, False):
        puzzle = knights.Puzzle(("Anna", "Ben", "Ella"), (knight, not knight, not knight))
        texts.append(knights.PROMPT.format(question=knights.question(puzzle)))
        texts.append(knights.reference(puzzle, careful=True))
    return [*texts, f" {knights.NOBODY}"]


def vocabulary(families: Collection[str] = ()) -> list[str]:
    """List every token of the grammar, special ones first, then in a fixed order.

    families: those with words of their own, besides chain, story, facts and program.
    """
    tokens = {str(number) for number in range(world.LARGEST + 1)} | set(world.OPERATIONS)
    for text in _grammar_texts(families):
        tokens.update(re.findall(PATTERN, text))
    return [*SPECIAL, *sorted(tokens)]


def build_tokenizer(families: Collection[str] = ()) -> transformers.PreTrainedTokenizerFast:
    """Build the tokenizer for some families; text outside their grammar becomes `<unk>`."""
    entries = {token: index for index, token in enumerate(vocabulary(families))}
    core = Tokenizer(models.WordLevel(entries, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    core.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
