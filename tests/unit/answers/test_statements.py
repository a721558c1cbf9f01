"""Where the answer is in a completion, and what may surround it."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from restem.answers.extraction import MARKERS, extract, markers_of
from restem.answers.markers import ANSWER_IS, BOXED
from restem.answers.statements import stated
from restem.tools.grade import grade_pairs


def verdicts(pairs):
    return [verdict.verdict for verdict in grade_pairs(pairs)]


SENTENCES = [
    "The answer is 64 beads, altogether.", "The answer is 64, altogether.",
    "The answer is 64 in total.",
    "The answer is 64 beads in total.", "The answer is $64 per week.",
    "The answer is 64 (44 + 20).",
    "The answer is 64! Hooray.", "The answer is **64**.", "**The answer is 64.**",
    "The answer is $64$.",
    "The answer is **64** beads.", "The answer is $64$ beads altogether.",
    "The answer is \\(64\\) beads.",
    "The answer is 64, because 44 + 20 = 64.", "The answer is 64 since 44 + 20 = 64.",
    "The answer is 64, which is the total.", "The answer is 64, and we are done.",
    "The answer is: 64",
    "The answer is 64 beads (44 red and 20 blue).", "The answer is 64 (in dollars).",
    "The answer is \"64\".",
    "The answer is therefore 64.", "The answer is 64 dollars per week.",
    "The answer is 64 each week.",
    "The answer is 64; good luck!", "The answer is 64 — well done.",
    "The answer is 64 - a big number.",
    "The answer is 64 beads that Tom bought.", "The answer is $64 a week.", "The answer is 64 🎉",
    "The answer is 64 of the beads.", "The answer is simply 64 more beads than before.",
    "The answer is **$64** in total.", "The answer is **64 beads**, altogether.",
    "The answer is 64 beads?",
    "The answer is \\$64 per week.", "The answer is 64.00 dollars, so she can buy it.",
    "(The answer is 64)",
    "The answer is 64 (44 + 20 = 64).", "The answer is 64 (that is, 44 + 20).",
    "The answer is 64!! Great",
    "64 beads in total.", "$64 per week.", "64 (44 + 20).", "64! Hooray.", "64, altogether.",
]  # fmt: skip


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_follows_the_answer_does_not_spoil_it(sentence):
    assert verdicts([("64", sentence), ("65", sentence)]) == ["correct", "incorrect"]


HEADINGS = [
    "#### Step 1\n40/2=20\n#### Step 2\n44+20=64\n\nThe answer is 64.", "#### Answer\n64",
    "First root: \\boxed{2}, so the sum:\n#### 64",
    "Final Answer: **81** no, wait.\nFinal Answer: **64**",
    "### 64", "## 64", "#### **64**", "### Answer: 64", "### Final Answer\n\n64", "**Answer:** 64",
    "**Final Answer**\n64", "**Final Answer:**\n\n$64$", "Answer: 64 beads in total.",
    "answer = 64",
    "#### Answer: 64", "#### Final answer\n**64**", "The answer is 60.\nNo. The answer is 64.",
    "#### 60\nWait, \\boxed{64}", "\\boxed{60} is wrong. The answer is 64.", "Final Answer: 64.",
    "The answer is 60. I hope.\n\n#### 64", "\\boxed{2} and \\boxed{32}. The answer is 64.",
    "The final answer is $60$. I hope it is correct. But: \\boxed{64}.",
    "#### 64\n#### Check\n44+20=64",
    "\\boxed{64}. This answer is unique.", "#### 64\nThe answer is a whole number.",
    "\\boxed{64}. The answer is positive, because 60 is.",
    "\\boxed{64}. The final answer is a common one.",
    "\\boxed{64}.\n\nWe can check our answer: $64 - 20 = 44$.",
    "\\boxed{60}? Our answer is then \\[ 44 + 20 = 64, \\]as before.",
    "So \\boxed{64}. I am sure that the answer is correct.", "#### 64\nThe answer is not 65.",
    "The answer is 64.\n#### Explanation\nWe added 44 and 20.",
    "<think>The answer is 60.</think>\n64",
    "<think>\\boxed{60}</think>The answer is 64.", "### Answer\n\n**64 beads**", "Answer:\n64",
    "#### Adding them\n44+20=64\n#### 64", "## Solution\n44+20\n## Answer\n64", "The Answer: 64",
    "### $64$", "### \\$64", "The answer is:\n\\[\n64\n\\]", "Final Answer:\n\n$$\n64\n$$",
    "### Answer\n\\[\n64\n\\]\nDone.", "The answer is 44 + 20 = 64 beads in total.",
    "The answer is n = 64 beads in total.", "The answer is 64, i.e. a square.",
]  # fmt: skip


@pytest.mark.parametrize("completion", HEADINGS)
def test_the_last_stated_answer_counts_whatever_marks_it(completion):
    assert verdicts([("64", completion), ("60", completion)]) == ["correct", "incorrect"]


@pytest.mark.parametrize(
    ("gold", "sentence"),
    [
        ("64", "64 or 65"), ("64", "The answer is 64 or 65."),
        ("64", "The answer is 64 and a half."),
        ("64", "The answer is 64 is wrong, it is 65."), ("64", "The answer is 64 thousand."),
        ("64", "The answer is 64 if x > 0."), ("64", "The answer is 64, or sixty-five."),
        ("64", "The answer is 64 + x."), ("64", "The answer is 64x."), ("64", "64 x"),
        ("5", "The answer is 5, 6."), ("5", "The answer is 5, x."),
        ("5", "The answer is 5 (x + 1)."),
        ("5", "The answer is 5 (mod 7)."), ("3", "The answer is 3 (4 + 5)."),
        ("120", "The answer is 5."),
        ("64", "The answer is 64 squared."), ("64", "The answer is 64 to 70."), ("5", "5 base six"),
        ("5", "The answer is not 5."), ("5", "The answer is 5, but that is wrong."),
        ("5", "5, none"),
        ("5", "The answer is 5 times as many."), ("5\\text{ cm}", "The answer is 5 m in total."),
        ("5\\text{ feet}", "The answer is 5 inches long."),
        ("64", "The answer is 64, not: it is 65."),
        ("5", "The answer is 5 since it is not 6 but 7."), ("5", "The answer is 5, and 6."),
    ],
)  # fmt: skip
def test_what_changes_the_answer_does_spoil_it(gold, sentence):
    assert verdicts([(gold, sentence)]) != ["correct"]


def test_a_product_and_a_factorial_stay_what_they_are():
    pairs = [("27", "The answer is 3 (4 + 5)."), ("120", "The answer is 5!"), ("120", "5!")]
    pairs += [("2x+2", "The answer is 2 (x + 1)."), ("[0,1)", "The answer is [0,1).")]
    pairs += [
        ("5\\text{ cm}", "The answer is 5 cm in total."),
        ("60", "60 miles per hour, on average"),
    ]
    pairs += [
        ("3-i", "The answer is 3 - i."),
        ("3-a", "3 - a"),
        ("1,i,-i", "The answer is 1,i,-i."),
    ]
    pairs += [("34", "#### 34\\text{ sq. units}"), ("2", "The answer is $2\\text{ sq. in.}$.")]
    pairs += [("Tuesday", "The answer is Tuesday.")]
    assert verdicts(pairs) == ["correct"] * len(pairs)


@pytest.mark.parametrize(
    "completion",
    ["so it is 64", "Final Answer: **64**", "### 64", "#### 64", "64 beads in total", "Answer: 64",
     "<think>\\boxed{64}</think> 64", "<think>The answer is 64.</think>"],
)  # fmt: skip
def test_the_strict_mode_stays_strict_about_whether_an_answer_is_marked(completion):
    for marker in (BOXED, ANSWER_IS):
        assert extract(completion, markers_of("strict", (marker,))) is None


def test_the_last_number_counts_only_without_any_marker():
    flexible = markers_of("flexible", (BOXED,))
    assert extract("Answer: 7. There are 8 more.", flexible) == "7"
    assert extract("Answer: We add 3 and 4 and 7 comes out", flexible) == "7"
    assert extract("### Step 3\nit is 7", flexible) == "7"


ANSWERS = st.integers(2, 9999).map(str) | st.sampled_from(
    ["0.5", "1/2", "-7", "1,234", "50%", "\\frac{3}{4}"]
)
BEFORE = st.sampled_from(
    ["", "We add 44 and 20.\n", "\\boxed{1} is the first root.\n", "#### Step 1\n4+4=8\n",
     "### 1\n",
     "The answer is not 7.\n", "#### 3\n", "<think>The answer is 9.</think>", "Answer: 3\n\n",
     "A: $x$.\n"]
)  # fmt: skip
OPENING = st.sampled_from(
    ["The answer is %s", "So the answer is: %s", "#### %s", "Final Answer: %s", "**Answer:** %s",
     "### Answer\n%s", "the final answer is **%s**", "The answer is $%s$", "The answer is \\(%s\\)"]
)  # fmt: skip
AFTER = st.sampled_from(
    ["", ".", " in total.", " altogether.", ", altogether.", ", because we add them.", " beads.",
     " beads",
     " red beads in all.", ". Hooray!", " of them.", ", as required.", " (in total).", "; done.",
     " left.",
     ", so we are done", " more than Tom.", " for each of the children.",
     ". We are done.\n\nQ: 3 + 4?"]
)  # fmt: skip


@given(ANSWERS, BEFORE, OPENING, AFTER)
@settings(deadline=None, max_examples=500)
def test_an_answer_is_found_in_any_sentence(answer, before, opening, after):
    completion = before + opening % answer + after
    other = "8642"
    assert verdicts([(answer, completion)]) == ["correct"], completion
    assert answer == other or verdicts([(other, completion)]) == ["incorrect"], completion


@given(st.text("0123456789 $*()!,.-–abcx\\{}", max_size=60) | st.text(max_size=40))
@example("=0")
@example("x = y=  64 beads in total")
@settings(deadline=None, max_examples=500)
def test_any_text_states_something_in_it(text):
    assert set(stated(text)) <= set(text)
    extract(text, markers_of("answer", (BOXED,)))


def test_markers_are_found_by_their_place():
    text = r"\boxed{1}. The answer is 2. The final answer is 3. I hope it is correct. #### 4"
    assert extract(text) == extract(text, MARKERS[::-1]) == "4"
    assert extract(text.rpartition(" ####")[0]) == "3"
    assert extract(text.partition(" The final")[0]) == "2"
    assert extract("The answer is 5 or rather \\boxed{6}") == "6"
