"""HumanEval (Chen et al. 2021): a signature and docstring to continue, tested by assertions.

The zero-shot prompt is the problem itself; in the few-shot prompt three small functions of our own
precede it, none of which is in the benchmark.
"""

from typing import Final

from restem.config.data import DataSource
from restem.rewards.code_spec import Spec
from restem.tasks.code_task import Fields, code_task, make_spec
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen, text_of
from restem.tasks.task import no_split

SHOTS: Final = (
    (
        "def last_digits(numbers: list) -> list:\n"
        '    """ Return the last digit of every number.\n'
        "    >>> last_digits([12, 7, 340])\n    [2, 7, 0]\n"
        '    """\n',
        "    return [abs(number) % 10 for number in numbers]\n",
    ),
    (
        "def longest_run(text: str) -> int:\n"
        '    """ Return the length of the longest run of one character.\n'
        "    >>> longest_run('aabbbc')\n    3\n"
        '    """\n',
        "    longest, run, previous = 0, 0, None\n"
        "    for character in text:\n"
        "        run = run + 1 if character == previous else 1\n"
        "        longest, previous = max(longest, run), character\n"
        "    return longest\n",
    ),
    (
        "def share_of_words(text: str, word: str) -> float:\n"
        '    """ Return the share of words in a text that equal a word; 0.0 without words.\n'
        "    >>> share_of_words('a b a', 'a')\n    0.6666666666666666\n"
        '    """\n',
        "    words = text.split()\n"
        "    if not words:\n        return 0.0\n"
        "    return words.count(word) / len(words)\n",
    ),
)


def question(text: str) -> str:
    """Return the problem as it is: code to be continued."""
    return text


def answer(solution: str) -> str:
    """Frame a function body: its indentation stays, two blank lines end it."""
    return solution.rstrip() + "\n\n\n"


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the one file; there is a test split only."""
    return chosen(source, split, ["humaneval/HumanEval.jsonl.gz"]) if split == "test" else ()


def load(reader: Reader, split: str) -> list[Problem]:
    """Read the problems, or the few-shot prompt."""
    if split == "shots":
        return [
            Problem(f"humaneval/shots/{index}", prompt, None, solutions={SHOT: body})
            for index, (prompt, body) in enumerate(SHOTS)
        ]
    if split != "test":
        raise no_split("humaneval", split)
    return [_read(row) for file in files(reader.source, split) for row in reader.rows(file)]


def spec_of(fields: Fields, where: str) -> Spec:
    """Return the tests of a problem, given the benchmark's own fields."""
    return make_spec(
        where,
        kind="asserts",
        prefix=text_of(fields, "prompt", where),
        entry=text_of(fields, "entry_point", where),
        tests=text_of(fields, "test", where),
        bind="candidate",
    )


def _read(row: Row) -> Problem:
    return Problem(
        id=row.text("task_id"),
        question=row.text("prompt"),
        answer=spec_of(row.values, row.where).dump(),
        solutions={"human": row.text("canonical_solution")},
    )


STOP: Final = ("\ndef ", "\nclass ", "\n#", "\nif ", "\nprint(", "\n@", "</s>", "<|im_end|>")
TASK = code_task("humaneval", files, load, question, answer, STOP, spec_of)
