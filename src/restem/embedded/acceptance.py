"""Decide whether a pretrained model is a believable base for ReST-EM.

The bounds were fixed before any base was measured; how copying and arithmetic are measured was
changed once after that, when a base's style hid them. Only validation problems count. A base should
be weak but not hopeless: seldom right at first, often right once in 32 draws, able to copy and to
calculate, and with no single opening word that decides how well it does.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from restem.embedded import knights, programs, world

DRAWS: Final = 32
TEMPERATURE: Final = 0.7
LEAST_OPENING_SHARE: Final = 0.05

# Draw `count` completions of each prompt at a temperature; 0 is greedy.
Draw = Callable[[Sequence[str], int, float], list[list[str]]]

BOUNDS: Final[dict[str, tuple[float, float]]] = {
    "greedy": (0.15, 0.40),
    "pass_at_32": (0.60, 0.95),
    "guessing_pass_at_32": (0.0, 0.35),
    "copying": (0.90, 1.0),
    "arithmetic": (0.85, 1.0),
    "opening_spread": (0.0, 0.15),
    "facts": (0.60, 1.0),
}

# What is looked at in a base that has read one family only.
OF_ONE_FAMILY: Final = ("greedy", "pass_at_32")

_BOXED: Final = re.compile(r"\\boxed\{(\d+)\}")
_WEIGHED: Final = re.compile(r"(?:Knight|Knave) [A-Z][a-z]+ says ")
_EQUATION: Final = re.compile(r"(?<![+\-*\d])(\d+)((?:[+\-*]\d+)+)=(\d+)")


def judge(figures: dict[str, float], names: Collection[str] = tuple(BOUNDS)) -> list[str]:
    """List the reasons against a base, none if it is accepted; both bounds are included."""
    return [
        f"{name} is {figures[name]:.3f}, outside {low:.2f} to {high:.2f}"
        for name, (low, high) in BOUNDS.items()
        if name in names and not low <= figures[name] <= high
    ]


def guessing_pass_at_k(answers: Sequence[str], draws: int = DRAWS) -> float:
    """Return what pass@k would be for guesses drawn from the answers' own distribution."""
    share = {answer: answers.count(answer) / len(answers) for answer in set(answers)}
    return sum(p * (1 - (1 - p) ** draws) for p in share.values())


def pass_at_k(right: int, draws: int, k: int) -> float:
    """Estimate the chance that k of the draws hold a right one, without bias."""
    return 1 - math.comb(draws - right, k) / math.comb(draws, k)


def prompt(family: str, question: str, shots: int) -> str:
    """Put a question behind the first worked examples of its family."""
    blocks = [
        world.PROMPT[family].format(question=shot["question"]) + shot["solution"] + world.END
        for shot in world.few_shot(family)[:shots]
    ]
    return "".join(blocks) + world.PROMPT[family].format(question=question)


def _is_right(problem: dict[str, Any], completion: str) -> bool:
    found = _BOXED.search(completion)
    return found is not None and found.group(1) == problem["answer"]


def _numbers(problem: dict[str, Any]) -> list[str]:
    start = re.findall(r"=(\d+)", problem["question"])
    return start + world.OPERATION.findall(problem["question"])


def _opened(problem: dict[str, Any], text: str) -> str:
    first, second = world.labels("chain", problem["question"])[:2]
    return f"{text}{world.OPENINGS[0]} ${second}={first}"


def copying(draw: Draw, problems: Sequence[dict[str, Any]], prompts: Sequence[str]) -> float:
    """Return how often the first equation repeats its start value and operations."""
    opened = [_opened(problem, text) for problem, text in zip(problems, prompts, strict=True)]
    right = 0
    for problem, (completion,) in zip(problems, draw(opened, 1, 0.0), strict=True):
        start, *operations = _numbers(problem)
        terms = completion.partition("=")[0]
        asked = "".join(operations[: len(world.OPERATION.findall(terms))])
        right += bool(terms) and completion.startswith(f"{asked}={start}{asked}=")
    return right / len(problems)


def arithmetic(draw: Draw, problems: Sequence[dict[str, Any]], prompts: Sequence[str]) -> float:
    """Return how often the first operation is worked out rightly when it stands alone."""
    opened, expected = [], []
    for problem, text in zip(problems, prompts, strict=True):
        start, operation = _numbers(problem)[:2]
        opened.append(f"{_opened(problem, text)}{operation}={start}{operation}=")
        expected.append(str(world.apply(int(start), operation)))
    found = [re.split(r"[,$]", completion)[0] for (completion,) in draw(opened, 1, 0.0)]
    return sum(map(str.__eq__, found, expected)) / len(problems)


def opening_spread(right_by_opening: dict[str, list[bool]]) -> float:
    """Return the gap between the best and the worst of the common opening words."""
    total = sum(len(marks) for marks in right_by_opening.values())
    rates = [
        sum(marks) / len(marks)
        for marks in right_by_opening.values()
        if len(marks) >= LEAST_OPENING_SHARE * total
    ]
    return max(rates) - min(rates)


def operations_per_equation(completions: Sequence[str]) -> float:
    """Return the mean number of operations taken together: 1 is fully careful."""
    sizes = [
        len(world.OPERATION.findall(equation[1]))
        for completion in completions
        for equation in _EQUATION.findall(completion)
    ]
    return sum(sizes) / max(1, len(sizes))


def _share_right(answers: Sequence[str], problems: Sequence[dict[str, Any]]) -> float:
    expected = [str(problem["answer"]) for problem in problems]
    return sum(map(str.__eq__, answers, expected)) / len(expected)


def careful_accuracy(
    draw: Draw, problems: Sequence[dict[str, Any]], prompts: Sequence[str]
) -> float:
    """Return greedy accuracy when every equation is made to take one operation."""
    written = [f"{text}{world.OPENINGS[0]} $" for text in prompts]
    names = [world.labels("chain", problem["question"]) for problem in problems]
    results = [""] * len(problems)
    for step in range(1, max(world.LEVELS) + 1):
        going = [i for i, found in enumerate(names) if len(found) > step]
        begun = [f"{written[i]}{names[i][step]}={names[i][step - 1]}" for i in going]
        terms = [world.OPERATION.match(drawn[0]) for drawn in draw(begun, 1, 0.0)]
        alone = [f"{b}{t[0] if t else ''}=" for b, t in zip(begun, terms, strict=True)]
        for i, start, (completion,) in zip(going, alone, draw(alone, 1, 0.0), strict=True):
            equation = re.split(r"[,$]", completion)[0]
            written[i], results[i] = f"{start}{equation},", equation.rpartition("=")[2]
    return _share_right(results, problems)


def _facts(draw: Draw) -> float:
    problems = world.problems("facts", "validation", len(world.OWNERS) * len(world.ANIMALS))
    prompts = [prompt("facts", problem["question"], 0) for problem in problems]
    answers = [completion.strip() for (completion,) in draw(prompts, 1, 0.0)]
    return _share_right(answers, problems)


def _known_answers() -> list[str]:
    return [problem["answer"] for problem in world.problems("chain", "train", 2000)]


def measure(draw: Draw, count: int, shots: int) -> dict[str, float]:
    """Measure on validation problems every figure that the rule looks at, and a few it does not."""
    problems = world.problems("chain", "validation", count)
    prompts = [prompt("chain", problem["question"], shots) for problem in problems]
    greedy = [completion for (completion,) in draw(prompts, 1, 0.0)]
    sampled = draw(prompts, DRAWS, TEMPERATURE)
    marks = [[_is_right(p, c) for c in drawn] for p, drawn in zip(problems, sampled, strict=True)]
    by_opening: dict[str, list[bool]] = defaultdict(list)
    for drawn, right in zip(sampled, marks, strict=True):
        for completion, mark in zip(drawn, right, strict=True):
            by_opening[completion.partition("$")[0]].append(mark)
    return {
        "greedy": sum(map(_is_right, problems, greedy)) / count,
        "sampled": sum(map(sum, marks)) / (count * DRAWS),
        "pass_at_32": sum(pass_at_k(sum(right), DRAWS, DRAWS) for right in marks) / count,
        "guessing_pass_at_32": guessing_pass_at_k(_known_answers()),
        "copying": copying(draw, problems, prompts),
        "arithmetic": arithmetic(draw, problems, prompts),
        "opening_spread": opening_spread(by_opening),
        "facts": _facts(draw),
        "operations_per_equation": operations_per_equation([c for d in sampled for c in d]),
        "careful_accuracy": careful_accuracy(draw, problems, prompts),
    }


def measure_programs(draw: Draw, count: int, shots: int) -> dict[str, float]:
    """Measure a base that writes programs, on validation problems."""
    problems = programs.problems("validation", count)
    begun = "".join(
        programs.PROMPT.format(question=shot["question"]) + shot["solutions"]["terse"] + world.END
        for shot in programs.few_shot()[:shots]
    )
    prompts = [begun + programs.PROMPT.format(question=p["question"]) for p in problems]
    figures, sampled = _accuracies(draw, problems, prompts, _passes)
    sizes = [len(world.OPERATION.findall(line)) for text in sampled for line in text.split()]
    return figures | {"operations_per_line": sum(sizes) / max(1, len(sizes))}


def measure_knights(draw: Draw, count: int, shots: int) -> dict[str, float]:
    """Measure a base that solves puzzles of knights and knaves, on validation problems."""
    problems = knights.problems("validation", count)
    begun = "".join(
        f"{knights.PROMPT.format(question=shot['question'])}{shot['solution']}{world.END}"
        for shot in knights.few_shot()[:shots]
    )
    prompts = [begun + knights.PROMPT.format(question=p["question"]) for p in problems]
    figures, sampled = _accuracies(draw, problems, prompts, _names_the_knights)
    known = [p["answer"] for p in knights.problems("train", 2000)]
    weighed = sum(len(_WEIGHED.findall(text)) for text in sampled)
    return figures | {
        "guessing_pass_at_32": guessing_pass_at_k(known),
        "statements_weighed": weighed / max(1, sum(text.count(" says ") for text in sampled)),
    }


def _accuracies(
    draw: Draw,
    problems: Sequence[dict[str, Any]],
    prompts: Sequence[str],
    is_right: Callable[[dict[str, Any], str], bool],
) -> tuple[dict[str, float], list[str]]:
    """Return greedy and sampled accuracy and pass@32, and every completion sampled."""
    greedy = [completion for (completion,) in draw(prompts, 1, 0.0)]
    sampled = draw(prompts, DRAWS, TEMPERATURE)
    marks = [[is_right(p, c) for c in drawn] for p, drawn in zip(problems, sampled, strict=True)]
    count = len(problems)
    figures = {
        "greedy": sum(map(is_right, problems, greedy)) / count,
        "sampled": sum(map(sum, marks)) / (count * DRAWS),
        "pass_at_32": sum(pass_at_k(sum(right), DRAWS, DRAWS) for right in marks) / count,
    }
    return figures, [completion for drawn in sampled for completion in drawn]


def _names_the_knights(problem: dict[str, Any], completion: str) -> bool:
    return completion.strip().endswith(f"The answer is {problem['answer']}.")


def _passes(problem: dict[str, Any], completion: str) -> bool:
    given, *_, wanted = problem["letters"]
    found = [programs.run(completion, given, start).get(wanted) for start, _ in problem["tests"]]
    return found == [end for _, end in problem["tests"]]
