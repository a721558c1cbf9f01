import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from restem.config.decoding import Decoding
from restem.config.training import Training
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy
from restem.sampling.engine import Request
from restem.sampling.transformers.engine import TransformersEngine
from restem.training.examples import EmptyExamples, Example
from restem.training.loop import fine_tune
from restem.training.m_steps.fine_tune import remarks
from restem.training.run import TrainingReport

EXAMPLES = [
    Example("cd# ", left + right, f"{right}{left}##", 1.0)
    for left in "abcdef"
    for right in "abcdef"
]
SETTINGS = Training(learning_rate=3e-3, epochs_max=3, batch_size=8, validations=6, patience=100)


def scripted(rewards: Sequence[float], states: list[Any] | None = None) -> Callable[..., float]:
    remaining = iter(rewards)

    def validate(model: Any, tokenizer: Any) -> float:
        assert not model.training
        if states is not None:
            states.append({k: v.clone() for k, v in model.state_dict().items()})
        return next(remaining)

    return validate


def trained(
    base: Path,
    out: Path,
    settings: Training = SETTINGS,
    examples: Sequence[Example] = EXAMPLES,
    seed: int = 0,
    validate: Callable[..., float] | None = None,
) -> TrainingReport:
    lines: list[str] = []
    rewards = scripted(range(100))
    report = fine_tune(base, examples, settings, seed, 1, validate or rewards, out, lines.append)
    assert len(lines) == len(report.validations)
    return report


def test_the_report_counts_what_validations_computed(base: Path, tmp_path: Path) -> None:
    class Counted:
        flops = 0

        def __call__(self, model: Any, tokenizer: Any) -> float:
            self.flops += 10
            return 0.5

    report = trained(base, tmp_path / "out", validate=Counted())
    count = len(report.validations)
    assert [v.flops for v in report.validations] == [10 * (i + 1) for i in range(count)]
    assert TrainingReport.of(asdict(report)) == report


def digests(path: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def test_same_arguments_give_the_same_bytes(base: Path, tmp_path: Path) -> None:
    def noisy(model: Any, tokenizer: Any) -> float:
        engine = TransformersEngine(model, tokenizer)
        request = Request("p", "cd# ", "ab", (0,), (5,))
        greedy = Decoding(draws=1, temperature=0, max_tokens=8)
        return float(torch.rand(())) + sum(len(g) for g in engine.sample([request], greedy, ()))

    settings = SETTINGS.model_copy(update={"stop": "epochs"})
    first = trained(base, tmp_path / "a", settings)
    second = trained(base, tmp_path / "b", settings, validate=noisy)
    other = trained(base, tmp_path / "c", settings, seed=1)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a") != digests(tmp_path / "c")
    assert first.losses == second.losses != other.losses


def test_training_learns_and_reports(base: Path, tmp_path: Path, tokenizer: Any) -> None:
    settings = SETTINGS.model_copy(update={"epochs_max": 30})
    report = trained(base, tmp_path / "out", settings)
    assert report.steps == len(report.losses) == report.steps_planned == 30 * 5
    assert sum(report.losses[-5:]) < 0.05 * sum(report.losses[:5])
    targets = sum(len(tokenizer(e.target, add_special_tokens=False).input_ids) for e in EXAMPLES)
    assert report.tokens.target == 30 * targets
    assert report.tokens.prefix >= report.steps * len(tokenizer("cd# ").input_ids)
    assert report.wall_seconds > report.validation_seconds > 0
    assert report.peak_memory_bytes > 10**7
    engine = TransformersEngine(*load_policy(tmp_path / "out"))
    request = Request("p", "cd# ", "fc", (0,), (5,))
    greedy = Decoding(draws=1, temperature=0, max_tokens=8)
    groups = engine.sample([request], greedy, ("##",))
    assert [completion.text for group in groups for completion in group] == ["cf"]


def test_best_weights_are_kept_and_ties_go_to_the_earliest(base: Path, tmp_path: Path) -> None:
    states: list[Any] = []
    rewards = (0.1, 0.3, 0.6, 0.6, 0.2, 0.6, 0.5)
    report = trained(base, tmp_path / "out", validate=scripted(rewards, states))
    assert [v.reward for v in report.validations] == list(rewards)
    assert report.kept_step == report.validations[2].step == 5
    saved = weights(tmp_path / "out")
    assert all(torch.equal(saved[name], states[2][name]) for name in saved)
    assert not torch.equal(saved["lm_head.weight"], states[3]["lm_head.weight"])


def test_no_improvement_keeps_the_start(base: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"patience": 2})
    report = trained(base, tmp_path / "out", settings, validate=scripted([0.5, 0.5, 0.4]))
    assert (report.kept_step, report.ended, len(report.validations)) == (0, "no_improvement", 3)
    assert report.steps < report.steps_planned
    saved, start = weights(tmp_path / "out"), weights(base)
    assert all(torch.equal(saved[name], start[name]) for name in start)


def test_patience_starts_again_after_an_improvement(base: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"patience": 2})
    rewards = (0.5, 0.4, 0.6, 0.5, 0.5)
    report = trained(base, tmp_path / "out", settings, validate=scripted(rewards))
    assert len(report.validations) == 5
    assert report.kept_step == report.validations[2].step


def test_the_reward_is_never_measured_where_nothing_depends_on_it(
    base: Path, tmp_path: Path
) -> None:
    settings = Training(learning_rate=3e-3, epochs_max=3, batch_size=8, stop="epochs")
    report = trained(base, tmp_path / "out", settings, validate=scripted([]))
    assert report.validations == []
    assert (report.kept_step, report.ended) == (report.steps_planned, "epochs")
    assert not torch.equal(
        weights(tmp_path / "out")["lm_head.weight"], weights(base)["lm_head.weight"]
    )


def test_epochs_keep_the_last_weights(base: Path, tmp_path: Path) -> None:
    states: list[Any] = []
    settings = SETTINGS.model_copy(update={"stop": "epochs", "patience": 1})
    validate = scripted([0.9, *[0.1] * 6], states)
    report = trained(base, tmp_path / "out", settings, validate=validate)
    assert report.steps == report.steps_planned == report.kept_step == 15
    assert report.ended == "epochs"
    saved = weights(tmp_path / "out")
    assert all(torch.equal(saved[name], states[-1][name]) for name in saved)


def test_zero_weights_change_nothing(base: Path, tmp_path: Path) -> None:
    extra = [Example("cd# ", "ff", "aaaa", 0.0)] * 5
    report = trained(base, tmp_path / "a", examples=[*EXAMPLES[:9], *extra, *EXAMPLES[9:]])
    trained(base, tmp_path / "b")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert report.skipped == {"zero_weight": 5}
    assert report.examples == len(EXAMPLES)


def test_checkpoint_is_standard_and_names_no_machine(base: Path, tmp_path: Path) -> None:
    trained(base, tmp_path / "out", SETTINGS.model_copy(update={"epochs_max": 1}))
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json"} <= names
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", local_files_only=True)
    assert model.dtype == torch.float32
    for file in (tmp_path / "out").iterdir():
        assert str(base).encode() not in file.read_bytes()


def test_nan_loss_is_an_error_and_writes_nothing(base: Path, tmp_path: Path) -> None:
    model, tokenizer = load_policy(base)
    model.get_output_embeddings().weight.data[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(RestemError, match="loss is nan") as caught:
        trained(tmp_path / "broken", tmp_path / "out")
    assert caught.value.where == "step 1 of 15"
    assert not (tmp_path / "out").exists()


def test_no_examples_is_an_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(EmptyExamples):
        trained(base, tmp_path / "out", examples=[])


def test_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="cannot be loaded"):
        trained(tmp_path, tmp_path / "out")


def test_threads_are_given_back(base: Path, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    trained(base, tmp_path / "out", SETTINGS.model_copy(update={"epochs_max": 1}))
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


@pytest.mark.parametrize("steps", [1, 5, 7, 12])
def test_a_number_of_steps_is_taken_exactly_over_as_many_passes_as_that_takes(
    base: Path, tmp_path: Path, steps: int
) -> None:
    settings = SETTINGS.model_copy(update={"steps": steps, "stop": "epochs"})
    report = trained(base, tmp_path / "out", settings)
    assert report.steps == report.steps_planned == report.kept_step == steps


def test_a_negative_weight_pushes_the_target_away(base: Path, tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"epochs_max": 4, "stop": "epochs", "normalise": "token"})
    liked = [Example("", "a", "b#", 1.0), Example("", "f", "d#", 1.0)]
    disliked = [Example("", "a", "b#", -1.0), Example("", "f", "d#", 1.0)]
    first = trained(base, tmp_path / "a", settings, liked)
    second = trained(base, tmp_path / "b", settings, disliked)
    assert first.losses[-1] < first.losses[0]
    assert second.losses[-1] < second.losses[0]
    assert second.losses[0] < first.losses[0]


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_a_tokenizer_without_a_pad_token_trains_to_the_same_weights(
    base: Path, tmp_path: Path, layout: str
) -> None:
    """Nothing ever attends to padding, so no token is needed for it."""
    settings = SETTINGS.model_copy(update={"epochs_max": 1, "layout": layout})
    model, tokenizer = load_policy(base)
    tokenizer.pad_token = None
    model.save_pretrained(tmp_path / "bare")
    tokenizer.save_pretrained(tmp_path / "bare")
    trained(base, tmp_path / "a", settings)
    trained(tmp_path / "bare", tmp_path / "b", settings)
    first, second = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("layout", ["tree", "packed"])
def test_a_model_whose_attention_trees_do_not_know_is_trained_on_padded_rows(
    base: Path, tmp_path: Path, layout: str
) -> None:
    model, tokenizer = load_policy(base)
    model.config.attention_dropout = 0.1
    model.save_pretrained(tmp_path / "dropping")
    tokenizer.save_pretrained(tmp_path / "dropping")
    settings = Training(epochs_max=1, batch_size=8, validations=0, stop="epochs")
    reports, said = [], []
    for name in (layout, "padded"):
        lines: list[str] = []
        chosen = settings.model_copy(update={"layout": name})
        start, out, rewards = tmp_path / "dropping", tmp_path / name, scripted([])
        reports.append(fine_tune(start, EXAMPLES, chosen, 0, 1, rewards, out, lines.append))
        said.append([line for line in lines if "layout padded instead" in line])
    assert reports[0].losses == reports[1].losses
    assert [len(lines) for lines in said] == [1, 0]
    assert "LlamaForCausalLM" in said[0][0]


def test_a_loss_that_rises_and_training_that_does_not_help_are_remarked_on(
    base: Path, tmp_path: Path
) -> None:
    good = trained(base, tmp_path / "good")
    assert list(remarks(asdict(good))) == []
    wild = SETTINGS.model_copy(update={"learning_rate": 30.0, "warmup_share": 0.0})
    rose, unhelpful = remarks(
        asdict(trained(base, tmp_path / "wild", wild, validate=scripted(range(100, 0, -1))))
    )
    assert rose.startswith("the loss rose from ") and "learning_rate" in rose
    assert unhelpful.startswith("no validation was better")
