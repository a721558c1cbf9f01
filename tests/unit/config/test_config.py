"""Configuration errors name all problems at once, with the place and the nearest valid key."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.base import merge
from restem.config.errors import RENAMED
from restem.config.load import in_full, load_study, presets, read_yaml
from restem.config.method import Method
from restem.config.metrics import FalsePositives
from restem.config.names import reserved
from restem.config.reward import Reward
from restem.config.schema import schema
from restem.config.study import Study, TaskBlock
from restem.config.training import Training
from restem.errors import RestemError
from restem.study.graph import StudyGraph
from tests.shipped import studies

CONFIG = Path(__file__).parents[3] / "config"

STUDY: dict[str, Any] = {
    "study": "test",
    "tasks": {"chain": {"data": {"source": {"kind": "embedded"}, "train": 4}}},
    "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
    "decodings": {
        "greedy": {"draws": 1, "temperature": 0, "max_tokens": 8},
        "explore": {"draws": 4, "temperature": 0.7, "max_tokens": 8},
    },
    "variants": {"rest-em": {"method": "rest-em", "task": "chain"}},
    "evaluations": [{"task": "chain", "split": "test", "decoding": "greedy"}],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the study with a value set at a dotted path; numbers index lists."""
    study = copy.deepcopy(STUDY)
    *parents, last = path.split(".")
    place: Any = study
    for name in parents:
        place = place[int(name)] if name.isdigit() else place.setdefault(name, {})
    place[last] = value
    return study


def load(study: dict[str, Any]) -> Study:
    return load_study(study, CONFIG)


def problems(study: dict[str, Any]) -> list[str]:
    """Return the problems of an invalid study, one line per problem."""
    with pytest.raises(RestemError) as caught:
        load(study)
    first, *lines = caught.value.what.splitlines()
    assert first.startswith(f"the configuration has {len(lines)} problem")
    assert caught.value.where == f"study {study.get('study', 'demo')!r}"
    return [line.removeprefix("  - ") for line in lines]


# ---- unknown keys ----

UNKNOWN = [
    ("sedes", "seeds"),
    ("tasks.chain.dta", "data"),
    ("tasks.chain.data.trian", "train"),
    ("tasks.chain.data.source.poool", "pool"),
    ("tasks.chain.reward.extracton", "extraction"),
    ("models.S.sorce", "source"),
    ("models.S.source.sized", "size"),
    ("models.S.engine.dtyp", "dtype"),
    ("decodings.explore.temprature", "temperature"),
    ("variants.rest-em.metod", "method"),
    ("evaluations.0.decodin", "decoding"),
    ("training.learning_rat", "learning_rate"),
    ("metrics.confidense", "confidence"),
    ("tracking.enable", "enabled"),
    ("methods.rest-em.e_step.generater", "generator"),
    ("methods.rest-em.selection.kap", "cap"),
]


@pytest.mark.parametrize(("path", "meant"), UNKNOWN, ids=[path for path, _ in UNKNOWN])
def test_an_unknown_key_is_refused_with_its_path_and_the_nearest_key(path: str, meant: str) -> None:
    study = changed(path, 1)
    if path.startswith("methods."):
        preset = presets(CONFIG / "methods")["rest-em"]
        study["methods"]["rest-em"] = merge(preset, study["methods"]["rest-em"])
    [line] = problems(study)
    names = [name for name in line.split(":")[0].split(".") if name not in ("embedded", "local")]
    assert ".".join(names) == path
    assert line.endswith(f"unknown key; did you mean {meant!r}?")


def test_an_unknown_key_that_resembles_none_lists_those_that_are_known() -> None:
    [line] = problems(changed("tasks.chain.reward.zzz", 1))
    assert "max_answer_characters" in line
    assert "extraction" in line


def test_the_keys_of_one_kind_of_source_are_not_offered_for_another() -> None:
    [line] = problems(changed("tasks.chain.data.source.directry", "data"))
    assert "'directory'" not in line


# ---- values ----


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("decodings.explore.draws", 0),
        ("decodings.explore.draws", "many"),
        ("decodings.greedy", {"draws": 2, "temperature": 0, "max_tokens": 8}),
        ("decodings.explore.top_p", 0),
        ("training.learning_rate", -1),
        ("metrics.ks", [2, 1]),
        ("metrics.ks", []),
        ("seeds", []),
        ("seeds", [-1]),
        ("seeds", [0, 0]),
        ("study", "a/b"),
        ("study", ""),
        ("shards", {"train": 0}),
        ("shards", {"shots": 1}),
        ("variants.rest-em.iterations", 0),
        ("evaluations.0.split", "shots"),
        ("models.S.source", {"kind": "nowhere"}),
        ("models.S.source", {"kind": "hub", "id": "a/b", "revision": "main"}),
        ("tasks.chain.data.train", -1),
        ("training.batch_size", 1.5),
    ],
    ids=str,
)
def test_a_value_that_makes_no_sense_is_refused_with_its_path(path: str, value: Any) -> None:
    lines = problems(changed(path, value))
    assert len(lines) == 1
    assert lines[0].startswith(path)


@pytest.mark.parametrize("block", ["tasks", "models", "variants", "decodings", "methods"])
@pytest.mark.parametrize("name", ["a/b", "..", "-x", "a b", ""])
def test_a_name_that_cannot_be_a_folder_is_refused(block: str, name: str) -> None:
    study = copy.deepcopy(STUDY)
    known = {"methods": {"sft": {"selection": {"model_data": False, "human": "terse"}}}, **study}
    study[block] = {**study.get(block, {}), name: next(iter(known[block].values()))}
    lines = problems(study)
    assert all(line.startswith(f"{block}.") for line in lines)
    assert any("use letters, digits, " in line for line in lines)


@pytest.mark.parametrize(
    "key", ["study", "tasks", "models", "decodings", "variants", "evaluations"]
)
def test_a_missing_block_is_named(key: str) -> None:
    study = copy.deepcopy(STUDY)
    del study[key]
    if key == "study":  # then the keys change the demo
        assert load(study).study == "demo"
    elif key == "variants":  # a study may look at base models only
        assert load(study).variants == {}
    else:
        assert any(line.startswith(f"{key}: ") for line in problems(study))


@pytest.mark.parametrize(
    ("block", "taken"),
    [
        ("variants", "base"),
        ("tasks", "pretrained"),
        ("tasks", "figures"),
        ("tasks", "summary.parquet"),
        ("tasks", "policy.json"),
        ("tasks", "checkpoint"),
        ("models", "problems"),
    ],
)
def test_a_name_that_is_taken_among_the_results_is_refused(block: str, taken: str) -> None:
    study = copy.deepcopy(STUDY)
    study[block][taken] = next(iter(STUDY[block].values()))
    lines = problems(study)
    assert lines[0].startswith(f"{block}.{taken}: this name is reserved for")


@pytest.mark.parametrize("taken", ["README.md", "reference", "mlflow.db"])
def test_the_name_of_a_tracked_file_is_no_name_of_a_study(taken: str) -> None:
    [line] = problems({**STUDY, "study": taken})
    assert line.startswith("study: this name is reserved for")


def written_beside(place: str, *children: str) -> set[str]:
    """Return what the rules write directly below some folders, wildcards left out."""
    rules = "".join(path.read_text() for path in (CONFIG.parent / "rules").glob("*.smk"))
    names = re.findall(rf'"<(?:{place})>/([^"/]+)', rules)
    return {name for name in [*names, *children] if "{" not in name and name[0] != "."}


def test_every_file_among_the_results_is_reserved() -> None:
    tracked = {path.name for path in (CONFIG.parent / "results").iterdir()} & {"reference"}
    assert all(any(reserved("study", name)) for name in {*tracked, "README.md"})
    places = {"tasks": "results|policy|trained|base", "models": "results>/{task}|<on"}
    for block, place in places.items():
        taken = written_beside(place, *(["problems"] if block == "models" else []))
        assert taken
        assert {name for name in taken if not any(reserved(block, name))} == set()


@pytest.mark.parametrize("block", ["tasks", "models", "variants", "decodings", "methods"])
def test_a_name_of_250_letters_is_refused_and_can_be_read(block: str) -> None:
    study = changed("methods", {"sft": {"selection": {"model_data": False, "human": "terse"}}})
    study[block]["v" * 250] = next(iter(study[block].values()))
    assert any("at most 64 characters" in line and len(line) <= 300 for line in problems(study))


def test_a_study_of_300_letters_is_refused() -> None:
    [line] = problems({**STUDY, "study": "s" * 300})
    assert line.startswith("study: String should have at most 64 characters")


def test_two_figures_of_one_name_are_refused() -> None:
    study = of_figure()
    study["experiments"]["Y"] = study["experiments"]["X"]
    [line] = problems(study)
    assert line.startswith("experiments.Y.figures.A: experiments.X has a figure of this name")


# ---- names ----

DANGLING = [
    ("variants.rest-em.method", "rest-me", "rest-em"),
    ("variants.rest-em.task", "chian", "chain"),
    ("variants.rest-em.models", ["s"], None),
    ("evaluations.0.task", "chains", "chain"),
    ("evaluations.0.decoding", "gredy", "greedy"),
    ("validation_decoding", "greedi", "greedy"),
]


@pytest.mark.parametrize(("path", "value", "meant"), DANGLING, ids=[row[0] for row in DANGLING])
def test_a_name_that_is_not_defined_is_refused_with_the_nearest(
    path: str, value: Any, meant: str | None
) -> None:
    [line] = problems(changed(path, value))
    assert line.startswith(f"{path}: ")
    assert "is not defined" in line
    assert meant is None or f"did you mean {meant!r}?" in line


def test_the_decoding_of_a_used_method_must_be_defined() -> None:
    study = copy.deepcopy(STUDY)
    del study["decodings"]["explore"]
    [line] = problems(study)
    assert line.startswith("methods.rest-em.e_step.decoding: 'explore'")


def test_an_unused_method_may_name_what_a_study_does_not_have() -> None:
    study = changed("variants", {"sft": {"method": "sft", "task": "chain"}})
    del study["decodings"]["explore"]
    assert "rest-em" in load(study).methods


# ---- all at once ----


def test_all_problems_are_told_at_once() -> None:
    study = changed("tasks.chain.data.trian", 1)
    study["decodings"]["explore"]["draws"] = 0
    study["models"]["S"]["source"]["size"] = "XL"
    study["metrics"] = {"confidence": 2}
    del study["evaluations"]
    assert len(problems(study)) == 5


def test_all_names_are_told_at_once() -> None:
    study = changed("variants.rest-em.method", "nobody")
    study["variants"]["rest-em"]["task"] = "nothing"
    study["evaluations"][0]["decoding"] = "no"
    study["validation_decoding"] = "nor"
    assert len(problems(study)) == 4


def test_unknown_keys_and_undefined_names_are_told_at_once() -> None:
    study = changed("tasks.chain.data.trian", 1)
    study["models"]["S"]["source"]["sized"] = 1
    study["variants"]["rest-em"]["method"] = "rest-me"
    assert sorted(line.split(":")[0] for line in problems(study)) == [
        "models.S.source.embedded.sized",
        "tasks.chain.data.trian",
        "variants.rest-em.method",
    ]


# ---- overrides of training ----


def with_training(method: dict[str, Any], model: dict[str, Any]) -> dict[str, Any]:
    study = copy.deepcopy(STUDY)
    preset = presets(CONFIG / "methods")["rest-em"]
    study["methods"] = {"rest-em": {**preset, "training": method}}
    study["models"]["S"]["training"] = model
    study["training"] = {"learning_rate": 0.1, "batch_size": 2}
    return study


def test_a_model_changes_the_studys_training_and_a_method_changes_both() -> None:
    study = load(with_training({"batch_size": 8}, {"batch_size": 4, "weight_decay": 0.5}))
    training = study.training_of("rest-em", "S")
    assert (training.learning_rate, training.weight_decay, training.batch_size) == (0.1, 0.5, 8)
    assert study.training.batch_size == 2


def test_an_override_that_does_not_fit_is_refused_with_its_path() -> None:
    lines = problems(with_training({"batch_sise": 8}, {"learning_rate": -1}))
    assert len(lines) == 2
    assert lines[0].startswith("methods.rest-em.training.batch_sise: unknown key")
    assert "'batch_size'" in lines[0]
    assert lines[1].startswith("models.S.training.learning_rate: ")


def test_nested_blocks_of_training_are_merged_and_null_turns_them_off() -> None:
    study = with_training({"lora": {"rank": 4}}, {"lora": {"alpha": 64, "targets": ["q_proj"]}})
    study["training"]["lora"] = {"dropout": 0.1, "rank": 8}
    lora = load(study).training_of("rest-em", "S").lora
    assert lora is not None
    assert (lora.rank, lora.alpha, lora.targets, lora.dropout) == (4, 64, ("q_proj",), 0.1)
    study["methods"]["rest-em"]["training"] = {"lora": None}
    assert load(study).training_of("rest-em", "S").lora is None


def test_a_nested_override_that_does_not_fit_is_refused_with_its_path() -> None:
    [line] = problems(with_training({"lora": {"rnk": 8}}, {}))
    assert line.startswith("methods.rest-em.training.lora.rnk: unknown key")


def test_a_changed_training_of_a_variant_is_checked_with_its_path() -> None:
    [line] = problems(changed("variants.rest-em.changes", {"training": {"batch_sise": 8}}))
    assert line.startswith("variants.rest-em.changes.training.batch_sise: unknown key")


def test_a_method_and_a_model_whose_training_does_not_agree_are_refused() -> None:
    study = with_training({"processes": 1}, {"processes": 2, "shard": "weights"})
    [line] = problems(study)
    assert line.startswith("variants.rest-em: training on model S: shard: weights needs several")


# ---- reading ----


def test_the_order_of_keys_does_not_matter() -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(item) for key, item in reversed(value.items())}
        return value

    assert load(turned(STUDY)) == load(STUDY)


def test_without_a_study_it_is_the_demo() -> None:
    assert load({}).study == "demo"
    assert load({}) == load(read_yaml(CONFIG / "demo.yaml"))


def test_keys_without_a_study_change_the_demo() -> None:
    study = load({"seeds": [3], "decodings": {"explore": {"draws": 2}}})
    assert study.study == "demo"
    assert study.seeds == [3]
    assert study.decodings["explore"].draws == 2
    assert study.decodings["explore"].top_k == load({}).decodings["explore"].top_k


def test_a_named_study_takes_nothing_from_the_demo() -> None:
    assert load(STUDY).tasks.keys() == {"chain"}


def test_a_study_changes_the_file_that_it_extends(tmp_path: Path) -> None:
    write_studies(
        tmp_path,
        first=STUDY,
        second={"extends": "first.yaml", "seeds": [1, 2], "training": {"epochs_max": 2}},
    )
    changes = {"extends": "second.yaml", "study": "third", "training": {"batch_size": 4}}
    study = load_study(changes, tmp_path / "config")
    assert (study.study, study.seeds) == ("third", [1, 2])
    assert (study.training.epochs_max, study.training.batch_size) == (2, 4)
    alone = {**STUDY, "study": "third", "seeds": [1, 2]}
    alone["training"] = STUDY.get("training", {}) | {"epochs_max": 2, "batch_size": 4}
    assert load_study(alone, CONFIG).model_dump(exclude={"extends"}) == study.model_dump(
        exclude={"extends"}
    )


def test_null_removes_what_the_extended_file_names(tmp_path: Path) -> None:
    more = {"more": STUDY["variants"]["rest-em"], **STUDY["variants"]}
    write_studies(tmp_path, first={**STUDY, "variants": more})
    changes: dict[str, Any] = {"extends": "first.yaml", "variants": {"more": None}}
    folder = tmp_path / "config"
    assert load_study(changes, folder).variants == load(STUDY).variants
    assert load_study(in_full(changes, folder), folder).variants == load(STUDY).variants
    for unknown in ({"other": None}, {"more": {"method": None}}):
        with pytest.raises(RestemError, match="variants"):
            load_study({"extends": "first.yaml", "variants": unknown}, folder)


def test_no_file_extends_itself_or_one_that_is_missing(tmp_path: Path) -> None:
    write_studies(tmp_path, a={"extends": "b.yaml"}, b={"extends": "a.yaml"})
    for name, expected in (
        ("a.yaml", "a.yaml -> b.yaml -> a.yaml"),
        ("nowhere.yaml", "does not exist"),
        ("config", "does not exist"),
        (["a.yaml"], r"\['a.yaml'\]"),
    ):
        with pytest.raises(RestemError, match=expected):
            load_study({"extends": name}, tmp_path / "config")


def write_studies(clone: Path, **studies: Any) -> None:
    """Write studies and the configuration of the repository into an empty folder."""
    (clone / "config").symlink_to(CONFIG)
    for name, content in studies.items():
        (clone / f"{name}.yaml").write_text(json.dumps(content))


def test_a_study_may_replace_a_preset() -> None:
    study = load({**STUDY, "methods": {"sft": {"selection": {"model_data": False, "human": "x"}}}})
    assert study.methods["sft"].selection.human == "x"
    assert study.methods["rest-em"].iterations == 3


@pytest.mark.parametrize(
    "method",
    [
        {"selection": {"model_data": False}},
        {"selection": {"model_data": True}},
        {"e_step": {"decoding": "explore"}, "selection": {"model_data": False, "human": "x"}},
    ],
    ids=["no examples", "nothing sampled", "sampled for nothing"],
)
def test_a_method_that_cannot_work_is_refused(method: dict[str, Any]) -> None:
    [line] = problems({**STUDY, "methods": {"odd": method}})
    assert line.startswith("methods.odd: ")


@pytest.mark.parametrize("path", studies("config"), ids=lambda path: path.name)
def test_every_study_of_the_repository_is_valid(path: Path) -> None:
    study = read_yaml(path)
    assert load(study).study == path.stem
    assert load(study).description


def test_the_schema_in_the_repository_is_that_of_the_models() -> None:
    assert (CONFIG / "schema.json").read_text() == schema(), "write it: restem schema --output …"


def test_every_key_is_described() -> None:
    import json

    def undescribed(block: dict[str, Any], path: str) -> list[str]:
        undescribed_keys = [
            f"{path}.{name}"
            for name, key in block.get("properties", {}).items()
            if "description" not in key and name != "kind"
        ]
        inner = [undescribed(b, name) for name, b in block.get("$defs", {}).items()]
        return undescribed_keys + [name for names in inner for name in names]

    assert undescribed(json.loads(schema()), "Study") == []


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "just words", ""])
def test_a_file_that_is_no_mapping_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(RestemError) as caught:
        read_yaml(path)
    assert str(path) in caught.value.where


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("study", "my study", "study: use letters, digits, '.', '_' and '-'"),
        ("figures", "pass_at_k", "figures: must be a list, such as [a, b] (got 'pass_at_k')"),
        ("tasks", ["chain"], "tasks: must be a mapping"),
        ("decodings.explore.draws", "many", "decodings.explore.draws: must be a whole number"),
    ],
)
def test_wrong_types_are_described_in_words_of_yaml(path: str, value: Any, expected: str) -> None:
    assert problems(changed(path, value))[0].startswith(expected)


def test_numbers_in_scientific_notation_are_numbers() -> None:
    study = yaml.safe_load(yaml.safe_dump(STUDY) + "training: {learning_rate: 1e-5}\n")
    assert load(study).training.learning_rate == 1e-5


# ---- engines and prompts ----


def test_thoughts_leave_room_for_an_answer() -> None:
    assert load(changed("decodings.explore.thinking_tokens", 7))
    [line] = problems(changed("decodings.explore.thinking_tokens", 8))
    assert "thinking_tokens: 8 leaves no room for an answer in max_tokens: 8" in line


LOCAL = {"source": {"kind": "local", "directory": "somewhere"}}
CHAT = changed("models", {"chatty": {**LOCAL, "prompt": "chat"}})


def test_models_with_chat_prompts_can_be_trained() -> None:
    assert load(CHAT).models["chatty"].prompt == "chat"


def test_embedded_models_cannot_be_asked_in_turns() -> None:
    [line] = problems(changed("models.S.prompt", "chat"))
    assert line == "models.S.prompt: embedded models have no chat template; leave it out"


def test_a_turn_ends_as_the_template_has_it() -> None:
    [line] = problems({**CHAT, "training": {"end_of_text": True}})
    assert line.startswith("variants.rest-em: training.end_of_text: the targets of model chatty")


def test_turns_are_not_learnt_from_running_text() -> None:
    study = {**copy.deepcopy(CHAT), "methods": {"taught": {"e_step": {"decoding": "explore"}}}}
    study["methods"]["taught"]["e_step"]["generator"] = "teacher"
    study["models"]["plain"] = LOCAL
    taught = {"method": "taught", "task": "chain", "teacher": {"model": "plain"}}
    study["variants"] = {"taught": {**taught, "models": ["chatty"]}}
    [line] = problems(study)
    assert line.startswith("variants.taught.teacher: plain writes running text, and chatty learns")
    study["variants"] = {"taught": {**taught, "models": ["plain"], "teacher": {"model": "chatty"}}}
    assert load(study)


@pytest.mark.parametrize(
    "engine",
    [
        {"tensor_parallel": 2},
        {"cache_gib": 1},
        {"seeds": "engine"},
        {"replicas": 2},
        {"name": "vllm", "replicas": 0},
        {"name": "vllm", "device": "cpu", "tensor_parallel": 2},
        {"name": "vllm", "cache_gib": 0},
        {"context_tokens": 1},
        {"name": "sglang"},
    ],
)
def test_an_engine_refuses_what_it_would_ignore(engine: dict[str, object]) -> None:
    assert problems(changed("models.S.engine", engine))


def test_an_engine_takes_what_it_honours() -> None:
    study = changed("models.S.engine", {"name": "vllm", "tensor_parallel": 4, "cache_gib": 20})
    assert load_study(study, CONFIG).models["S"].engine.tensor_parallel == 4


def of_two_models(**coder: Any) -> dict[str, Any]:
    """Return the study with a second model and a second task, which only that model is for."""
    study = changed("tasks.program", STUDY["tasks"]["chain"])
    study["models"] = {
        "S": {**STUDY["models"]["S"], "tasks": ["chain"]},
        "coder": {"source": {"kind": "embedded", "size": "S-programs"}, "tasks": ["program"]},
    }
    study["variants"]["code"] = {"method": "rest-em", "task": "program", **coder}
    study["evaluations"].append({"task": "program", "split": "test", "decoding": "greedy"})
    return study


def test_a_model_is_trained_and_evaluated_on_its_own_tasks_only() -> None:
    walk = StudyGraph(load(of_two_models()))
    assert {(p.task, p.model) for p in walk.stated} == {("chain", "S"), ("program", "coder")}
    evaluated = {(d.task, d.policy.model, d.policy.variant) for d in walk.evaluations()}
    assert evaluated == {
        *(("chain", "S", variant) for variant in ("base", "rest-em")),
        *(("program", "coder", variant) for variant in ("base", "code")),
    }


def test_a_model_that_is_asked_for_on_another_task_is_refused() -> None:
    (line,) = problems(of_two_models(models=["S"]))
    assert line.startswith("variants.code.models: S is not for task program")


# ---- references, decodings and figures ----


def test_a_variant_is_a_reference_if_it_says_so() -> None:
    study = changed("variants.human", {"method": "sft", "task": "chain", "reference": True})
    study["variants"]["sft-by-name"] = {"method": "sft", "task": "chain"}
    assert load(study).references == ["human"]


def test_validation_is_greedy_unless_it_says_otherwise() -> None:
    study = copy.deepcopy(STUDY)
    study["decodings"]["argmax"] = study["decodings"].pop("greedy")
    study["evaluations"][0]["decoding"] = "argmax"
    assert load(study).validation.greedy
    assert load(changed("validation_decoding", "explore")).validation.temperature == 0.7


def test_without_a_greedy_decoding_validation_names_one() -> None:
    study = copy.deepcopy(STUDY)
    del study["decodings"]["greedy"]
    study["evaluations"][0]["decoding"] = "explore"
    [line] = problems(study)
    assert line.startswith("validation_decoding: no decoding has temperature 0")
    assert load({**study, "validation_decoding": "explore"}).validation.draws == 4
    assert load({**study, "variants": {}}).variants == {}  # nothing is validated


@pytest.mark.parametrize(
    ("quantity", "decoding", "expected"),
    [("accuracy", "explore", "explore samples"), ("pass", "greedy", "greedy is greedy")],
)
def test_a_claim_names_a_decoding_of_its_kind(quantity: str, decoding: str, expected: str) -> None:
    claim = {"id": "C", "says": "So.", "where": "here", "task": "chain", "quantity": quantity}
    claim |= {"decoding": decoding, "tests": [{"plus": ["S/rest-em/last"]}]}
    [line] = problems({**STUDY, "claims": [claim]})
    assert expected in line


def of_figure(**figure: Any) -> dict[str, Any]:
    shown = {"module": "by_share", "options": {"x_label": "x", "title": "t"}, **figure}
    variants = {"rest-em": STUDY["variants"]["rest-em"]}
    experiment = {"title": "x", "variants": variants, "figures": {"A": shown}}
    return changed("experiments", {"X": experiment})


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({"decodings": ["gredy"]}, "decodings: 'gredy' is not defined; did you mean 'greedy'?"),
        ({"variants": ["rest-me"]}, "variants: 'rest-me' is not defined"),
        ({"tasks": ["chian"]}, "tasks: 'chian' is not defined"),
        ({"models": ["L"]}, "models: 'L' is not defined"),
        ({"trained_on": "math"}, "trained_on: 'math' is not defined"),
        ({"x": "selection.flop"}, "x: variant rest-em has no number at selection.flop"),
        ({"x": "selection.model_data"}, "x: variant rest-em has no number"),
        ({"x": "selection.problems"}, "x: variant rest-em has no number"),
    ],
)
def test_a_figure_that_names_what_there_is_not_is_refused(
    figure: dict[str, Any], expected: str
) -> None:
    [line] = problems(of_figure(**figure))
    assert line.removeprefix("experiments.X.").startswith(f"figures.A.{expected}")


def test_a_figure_reads_its_x_axis_from_the_methods_of_its_variants() -> None:
    study = load(of_figure(x="selection.problem_share"))
    assert study.number_at("rest-em", "selection.problem_share") == 1.0
    assert study.number_at("rest-em", "selection.flip") == 0.0


# ---- renamed keys ----

RENAMING = (Study, TaskBlock, Reward, Method, FalsePositives, Training)
RENAMED_KEYS = [
    ("audit", "false_positives"),
    ("stand_ins", "claim_models"),
    ("tasks.chain.graded", "graded_sheets"),
    ("tasks.chain.reward.policy", "extraction"),
    ("variants.rest-em.changes.matched", "solved_by_base"),
    ("methods.m.matched", "solved_by_base"),
    ("false_positives.steps", "equations"),
    ("training.validations_per_epoch", "validations"),
]


@pytest.mark.parametrize(("path", "new_name"), RENAMED_KEYS, ids=[row[0] for row in RENAMED_KEYS])
def test_a_renamed_key_is_refused_with_its_new_name(path: str, new_name: str) -> None:
    study = changed(path, {})
    for method in study.get("methods", {}).values():
        method |= {"selection": {"model_data": False, "human": "human"}}
    [line] = problems(study)
    assert line.startswith(f"{path}: this key is now called {new_name!r}: ")


def test_new_names_of_renamed_keys_exist() -> None:
    blocks = {model.__name__: model for model in RENAMING}
    for name, keys in RENAMED.items():
        assert set(keys.values()) <= blocks[name].model_fields.keys()
        assert not keys.keys() & blocks[name].model_fields.keys()


# ---- false positives ----

SHOWN = {"title": "x", "figures": {"A": {"module": "false_positives", "table": "false_positives"}}}


def test_a_figure_of_false_positives_needs_a_sample() -> None:
    [line] = problems(changed("experiments", {"X": SHOWN}))
    assert line.startswith("false_positives.sample: 0, but experiments.X.figures.A shows")
    study = {**changed("experiments", {"X": SHOWN}), "false_positives": {"sample": 1}}
    assert load(study).experiments["X"].figures["A"].table == "false_positives"


def test_a_figure_of_false_positives_has_no_decoding() -> None:
    figure = {**SHOWN["figures"]["A"], "decodings": ["greedy"]}  # type: ignore[index]
    study = {
        **changed("false_positives.sample", 1),
        "experiments": {"X": {"title": "x", "figures": {"A": figure}}},
    }
    [line] = problems(study)
    assert "leave out decodings" in line


@pytest.mark.parametrize("key", ["sample", "seed"])
def test_numbers_of_false_positives_are_not_negative(key: str) -> None:
    assert len(problems(changed(f"false_positives.{key}", -1))) == 1
