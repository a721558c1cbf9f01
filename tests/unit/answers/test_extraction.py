import time

import pytest

from restem.answers.extraction import HEADED, LAST_NUMBER, MARKERS, WHOLE, extract, markers_of
from restem.answers.markers import ANSWER_IS, BOXED, FINAL_ANSWER, HASHES, last_boxed
from restem.artifacts.digests import code_digests


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so $\boxed{5}$", "5"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\left\{x\right.}", r"\left\{x\right."),
        (r"\boxed{1\\}", r"1\\"),
        (r"\fbox{7}", "7"),
        (r"\boxed {7}", "7"),
        (r"$\boxed 7$ is it", "7"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{5", None),
        (r"\boxed{}", None),
        (r"\boxedtext{5}", None),
        (r"\boxed", None),
        ("no box", None),
    ],
)
def test_last_boxed(text, expected):
    assert last_boxed(text) == expected


@pytest.mark.parametrize(
    ("marker", "text", "expected"),
    [
        (FINAL_ANSWER, "The final answer is $[2,5)$. I hope it is correct.", "$[2,5)$"),
        (FINAL_ANSWER, "The final answer is 0.5. I hope it is correct.", "0.5"),
        (FINAL_ANSWER, "the final answer is .5. I hope it is correct", ".5"),
        (FINAL_ANSWER, "The final answer is 5.", None),
        (FINAL_ANSWER, "I hope it is correct. The final answer is 5.", None),
        (HASHES, "2+2=4\n#### 4", "4"),
        (HASHES, "#### 4\n#### 1,234\nmore", "1,234"),
        (HASHES, "####", None),
        (HASHES, "### 4", None),
        (ANSWER_IS, "The answer is 5.", "5"),
        (ANSWER_IS, "So the answer is: 1,234.50. Next", "1,234.50"),
        (ANSWER_IS, "The answer is $x=5$.", "$x=5$"),
        (ANSWER_IS, "The answer is 4. The answer is\n 5.\nQ: why", "5"),
        (ANSWER_IS, "The answer is", None),
        (ANSWER_IS, "The answers are 5", None),
        (LAST_NUMBER, "it is 3, or 1,234.5, done.", "1,234.5"),
        (LAST_NUMBER, "10-5", "5"),
        (LAST_NUMBER, "about -5", "-5"),
        (LAST_NUMBER, "none", None),
    ],
)  # fmt: skip
def test_each_marker(marker, text, expected):
    assert extract(text, (marker,)) == expected


def test_strict_accepts_the_tasks_markers_only_and_flexible_any():
    text = "so it is 7"
    assert extract(text, markers_of("strict", (BOXED,))) is None
    assert extract(text, markers_of("flexible", (BOXED,))) == "7"
    assert extract("The answer is 7.", markers_of("strict", (BOXED,))) is None
    assert extract("The answer is 7.", markers_of("flexible", (BOXED,))) == "7"
    with pytest.raises(KeyError):
        markers_of("lenient", (BOXED,))


PIECES = [
    r"\boxed{", "{", "}", r"\boxed", r"\fbox", "####", "answer is ", "final answer is ", "$", "1,",
    "-", "9", "1.", " ", "\n", "\\", "İ", ". I hope it is correct", "# ", "### 1\n", "answer: ",
    "5 a", "## a", "64 (", "answer", "**", "</think>",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("ending", ["", "}", "5}"])
def test_extraction_is_linear(piece, ending):
    texts = [piece * (size // len(piece)) + ending for size in (100_000, 400_000)]
    start = time.process_time()
    for text in texts:
        for marker in (*MARKERS, HEADED, WHOLE, LAST_NUMBER):
            extract(text, (marker,))
    assert time.process_time() - start < 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" 5 ", "5"), ("x \\boxed{7}", "7"), ("#### 3", "3"), ("The answer is 4.", "4"),
        ("\\boxed{}", None), ("\\boxed{5", None), ("", None), (" \n", None),
    ],
)  # fmt: skip
def test_a_text_without_a_marker_may_be_an_answer_itself(text, expected):
    assert extract(text, markers_of("answer", (BOXED,))) == expected
    assert extract("no marker", (WHOLE,)) == "no marker"


def test_what_a_policy_accepts_is_no_part_of_the_problems():
    used = code_digests(["restem.tasks.math", "restem.tasks.gsm8k", "restem.tasks.chain"])
    assert "restem.answers.markers" in used
    assert "restem.answers.extraction" not in used
