"""`engine: {name: auto}` is decided once, by study, site, profile and machine in this order."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.config.load import load_study
from restem.config.models import EngineChoice, EngineSettings
from restem.deployment import engines
from restem.deployment.engines import Choice, asks_for_gpu, choose, in_words, with_engines
from restem.deployment.site import Site
from restem.errors import RestemError
from restem.study.graph import StudyGraph

CONFIG = Path(__file__).parents[3] / "config"
HUB = {"kind": "hub", "id": "a/b", "revision": "0" * 40}
GPU = {"draw_samples": {"gpu": 1}}


@pytest.fixture(autouse=True)
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTEM_ENGINE", "")  # so that it is restored
    monkeypatch.delenv("RESTEM_ENGINE")


def run(
    monkeypatch: pytest.MonkeyPatch, gpu: bool = False, remote: bool = False, **settings: Any
) -> Any:
    """Return the workflow of a main process, on a machine with or without a GPU."""
    monkeypatch.setattr(engines, "gpu_is_visible", lambda: gpu)
    monkeypatch.setattr(engines.invocation, "is_remote", lambda: remote)
    stated = {"overwrite_resources": {}, "nodes": 200 if remote else None, **settings}
    return SimpleNamespace(is_main_process=True, resource_settings=SimpleNamespace(**stated))


def study(**models: Any) -> Any:
    return load_study({"models": models}, CONFIG)


@pytest.mark.parametrize(
    ("site", "settings", "expected"),
    [
        ({}, {}, "transformers"),
        ({}, {"gpu": True}, "vllm"),
        ({}, {"overwrite_resources": GPU, "remote": True}, "vllm"),
        ({}, {"overwrite_resources": {"make_policy": {"gpu": 1}}, "remote": True}, "transformers"),
        ({}, {"gpu": True, "remote": True}, "transformers"),  # that of the login node
        ({}, {"gpu": True, "nodes": 2}, "vllm"),  # --jobs 2 on this machine
        ({"engine": "transformers"}, {"overwrite_resources": GPU}, "transformers"),
        ({"engine": "vllm"}, {}, "vllm"),
    ],
)
def test_site_profile_and_machine_decide_in_this_order(
    monkeypatch: pytest.MonkeyPatch, site: Any, settings: Any, expected: str
) -> None:
    choice = choose(Site(**site), run(monkeypatch, **settings))
    assert choice.name == expected
    assert os.environ["RESTEM_ENGINE"] == expected


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, False),
        ({"gpu": 0}, False),
        ({"gpu": 1}, True),
        ({"gpu": "4 if wildcards.model == 'L' else 1"}, True),
        ({"gpu": 0, "gres": "gpu:4"}, True),
        ({"slurm_extra": "'--gpus=1'"}, True),
        ({"mem_mb": 64000}, False),
    ],
)
def test_a_gpu_of_a_rule_is_recognised(resources: Any, expected: bool) -> None:
    assert asks_for_gpu(resources) == expected


def test_a_job_takes_the_answer_of_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sees a GPU, or none, where the main process saw the opposite."""
    choose(Site(), run(monkeypatch, overwrite_resources=GPU, remote=True))
    job = SimpleNamespace(is_main_process=False)
    monkeypatch.setattr(engines, "gpu_is_visible", lambda: False)
    assert choose(Site(engine="transformers"), job).name == "vllm"
    monkeypatch.delenv("RESTEM_ENGINE")
    with pytest.raises(RestemError, match="was not told"):
        choose(Site(), job)


def test_a_run_does_not_take_the_answer_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTEM_ENGINE", "vllm")
    assert choose(Site(), run(monkeypatch)).name == "transformers"


def test_what_a_study_says_and_what_models_are_come_first() -> None:
    stated = study(
        S={"source": {"kind": "embedded", "size": "S"}},
        L={"source": HUB},
        M={"source": HUB, "engine": {"name": "transformers"}},
        C={"source": HUB, "engine": {"device": "cpu"}},
    )
    for name in ("vllm", "transformers"):
        decided = with_engines(stated, Choice(name, "because"))
        found = {model: block.engine.name for model, block in decided.models.items()}
        others = dict.fromkeys("SMC", "transformers")
        assert found == {"L": name, **others}
    assert in_words(stated, Choice("vllm", "because")) == (
        "engine: transformers for S (an embedded model); vllm with seeds: engine for L (because); "
        "transformers for M (the study says so); transformers for C (device: cpu)"
    )


def test_an_engine_is_the_same_recipe_whether_it_was_stated_or_decided() -> None:
    """So results that were made before `auto` was the default stay."""
    vllm = {"name": "vllm", "seeds": "engine"}
    for name, settings in (("transformers", {}), ("vllm", vllm)):
        by_machine = with_engines(study(L={"source": HUB}), Choice(name, "because"))
        by_study = study(L={"source": HUB, "engine": {"name": name}})
        for graph in map(StudyGraph, (by_machine, by_study)):
            draws = next(draws for draws in graph.sampled() if draws.policy.model == "L")
            assert graph.samples_settings(draws)["engine"] == settings


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ({}, {}),  # transformers, on a GPU too
        ({"name": "vllm"}, {"name": "vllm", "seeds": "engine"}),
        ({"name": "vllm", "device": "cuda"}, {"seeds": "engine"}),
        ({"name": "vllm", "device": "cpu"}, {"name": "vllm", "device": "cpu"}),
        ({"name": "vllm", "device": "cpu", "seeds": "engine"}, {"seeds": "engine"}),
        ({"name": "vllm", "seeds": "draw"}, {"name": "vllm"}),
    ],
)
def test_seeds_are_decided_by_engine_and_device_and_stand_in_the_recipe(
    engine: Any, expected: Any
) -> None:
    decided = with_engines(
        study(L={"source": HUB, "engine": engine}), Choice("transformers", "because")
    )
    assert decided.models["L"].engine.seeds == expected.get("seeds", "draw")
    graph = StudyGraph(decided)
    sampled = [draws for draws in graph.sampled() if draws.policy.model == "L"]
    random = [draws for draws in sampled if not decided.decodings[draws.decoding].greedy]
    assert len(random) < len(sampled)
    for draws in sampled:
        recipe = graph.samples_settings(draws)["engine"]
        assert recipe.get("seeds") == (expected.get("seeds") if draws in random else None)
        assert expected.items() - {("seeds", "engine")} <= recipe.items()


def test_replicas_are_no_part_of_a_recipe() -> None:
    one, four = (
        StudyGraph(study(L={"source": HUB, "engine": {"name": "vllm", "replicas": count}}))
        for count in (1, 4)
    )
    for draws in one.sampled():
        assert one.samples_settings(draws) == four.samples_settings(draws)
    for policy in one.trained:
        assert one.policy_settings(policy) == four.policy_settings(policy)
    with pytest.raises(ValueError, match="replicas"):
        EngineSettings(name="vllm", replicas=2)


def test_searches_and_validation_compare_so_their_draws_have_seeds() -> None:
    model = {"source": HUB, "engine": {"name": "vllm", "seeds": "engine"}}
    variants = {"beam": {"method": "exit-beam", "task": "chain"}}
    graph = StudyGraph(load_study({"models": {"L": model}, "variants": variants}, CONFIG))
    drawn = [draws for draws in graph.sampled() if draws.policy.model == "L"]
    searched = [draws for draws in drawn if draws.search]
    assert searched
    recipes = [graph.samples_settings(draws)["engine"] for draws in searched]
    recipes += [
        graph.policy_settings(policy)["engine"] for policy in graph.trained if policy.model == "L"
    ]
    assert all(recipe == {"name": "vllm"} for recipe in recipes)


def test_a_job_is_never_given_auto() -> None:
    with pytest.raises(ValueError, match="transformers"):
        EngineSettings(name="auto")
    with pytest.raises(ValueError, match="belong to vllm"):
        EngineChoice(tensor_parallel=2)
    with pytest.raises(ValueError, match="'draw' or 'engine'"):
        EngineSettings(name="vllm", seeds="auto")


@pytest.mark.parametrize("name", ["auto", "transformers"])
def test_seeds_of_the_engine_belong_to_vllm(name: Any) -> None:
    with pytest.raises(ValueError, match="seeds: engine belongs to vllm"):
        EngineChoice(name=name, seeds="engine")
    assert EngineChoice(name=name, seeds="draw").decided_seeds == "draw"


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("flags : fpu fma avx avx2", False),
        ("flags : avx avx2 avx512f", True),
        ("flags : avx avx2 avx512f avx512_bf16 amx_bf16", True),
        ("Features : fp asimd", False),
        ("Features : fp asimd bf16", True),
        ("isa : rv64imafdc", True),  # unknown: nothing is said
    ],
)
def test_a_cpu_with_bfloat16_is_known_by_its_flags(flags: str, has: bool, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert engines.cpu_has_bfloat16(tmp_path / "cpuinfo") is has
    assert engines.cpu_has_bfloat16(tmp_path / "missing")


def test_what_a_cpu_emulates_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "gpu_is_visible", lambda: False)
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: False)
    trained = {"task": "chain", "method": "rest-em"}
    stated = {"models": {"S": {}, "H": {"source": HUB}}, "variants": {"em": trained}}
    assert engines.slow_on_this_cpu(load_study(stated, CONFIG)) is None
    stated["models"]["H"]["engine"] = {"dtype": "bfloat16"}
    stated["models"]["S"] = {"training": {"dtype": "bfloat16"}}
    said = engines.slow_on_this_cpu(load_study(stated, CONFIG))
    assert said is not None and "models.H.engine.dtype; training.dtype of S" in said
    monkeypatch.setattr(engines, "cpu_has_bfloat16", lambda: True)
    assert engines.slow_on_this_cpu(load_study(stated, CONFIG)) is None
