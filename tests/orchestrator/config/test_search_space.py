import optuna
import pytest

from orchestrator.config.mistakes import ConfigError
from orchestrator.config.run import resolve, with_values
from orchestrator.config.search_space import Choice, Range, Space
from orchestrator.study import search_section
from orchestrator.study.search_section import check_enqueued, check_values_on_data, read_space
from tests.orchestrator.studies import STUDY

RUN = resolve(STUDY["run"])
MSR = {
    "addons.msr.base_weight": {"uniform": [0.0, 0.6]},
    "addons.msr.steps": {"int": [1, 4], "when": {"addons.msr.schedule": "step"}},
    "addons.msr.decay_rate": {"log_uniform": [1.0, 10.0], "when": {"addons.msr.schedule": ["exponential"]}},
    "addons.msr.schedule": {"choice": ["cosine", "step", "exponential"]},
}


def mistakes(section: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        read_space(section, RUN)
    return str(caught.value)


def suggested(space: Space, count: int = 60) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.suggest(study.ask()) for _ in range(count)]


def test_space_suggests_conditional_dimensions_exactly_where_they_exist():
    found = suggested(read_space(MSR, RUN))
    for values in found:
        expected = {"addons.msr.base_weight", "addons.msr.schedule"}
        expected |= {"addons.msr.steps"} if values["addons.msr.schedule"] == "step" else set()
        expected |= {"addons.msr.decay_rate"} if values["addons.msr.schedule"] == "exponential" else set()
        assert set(values) == expected
    assert {values["addons.msr.schedule"] for values in found} == {"cosine", "step", "exponential"}
    assert {values["addons.msr.steps"] for values in found if "addons.msr.steps" in values} == {1, 2, 3, 4}
    assert all(0 <= values["addons.msr.base_weight"] <= 0.6 for values in found)


def test_space_log_uniform_is_even_in_the_logarithm():
    space = read_space({"optimizer.lr": {"log_uniform": [0.01, 100.0]}}, RUN)
    below = sum(values["optimizer.lr"] < 1 for values in suggested(space, 400))
    assert 160 < below < 240


def test_space_chooses_lists_and_whole_sections():
    space = read_space(
        {
            "augment.recipes.weak.crop.scale": {"choice": [[0.2, 1.0], [0.5, 1.0]]},
            "method": {"choice": [{"name": "simclr"}, {"name": "byol", "hidden": 16}]},
            "method.momentum": {"uniform": [0.9, 0.99], "when": {"method": {"name": "byol", "hidden": 16}}},
        },
        RUN,
    )
    found = suggested(space)
    assert {tuple(values["augment.recipes.weak.crop.scale"]) for values in found} == {(0.2, 1.0), (0.5, 1.0)}
    assert all(("method.momentum" in values) == (values["method"]["name"] == "byol") for values in found)


def test_space_takes_a_condition_inside_a_whole_section_for_one_on_the_section():
    methods = [{"name": "simclr"}, {"name": "moco_v2"}, {"name": "moco_v2", "momentum": 0.99}, {"name": "byol"}]
    section = {
        "method.temperature": {"uniform": [0.1, 0.5], "when": {"method.name": "moco_v2"}},
        "method": {"choice": methods},
        "training.threads": {"choice": [1, 2], "when": {"method.momentum": 0.99, "method.name": "moco_v2"}},
        "seed": {"int": [0, 9], "when": {"method.momentum": 0.99}},
    }
    found = suggested(read_space(section, RUN), 100)
    assert {str(values["method"]) for values in found} == set(map(str, methods))
    for values in found:
        assert ("method.temperature" in values) == (values["method"]["name"] == "moco_v2")
        assert ("training.threads" in values) == (values["method"] == methods[2])
        assert ("seed" in values) == (values["method"] in methods[2:])  # BYOL's momentum by default


def test_space_draws_what_lies_in_a_searched_section_after_it():
    methods = [{"name": "simclr"}, {"name": "simclr", "projector_hidden": 32}]
    section = {"method.temperature": {"uniform": [0.5, 0.9]}, "method": {"choice": methods}, "seed": {"int": [0, 9]}}
    space = read_space(section, RUN)
    assert [dimension.path for dimension in space.dimensions] == ["method", "method.temperature", "seed"]
    for values in suggested(space, 4):
        assert with_values(RUN.dump(), values)["method"]["temperature"] == values["method.temperature"]


def test_space_params_are_what_optuna_enqueues():
    space = read_space({**MSR, "augment.recipes.weak.crop.scale": {"choice": [[0.2, 1.0], [0.5, 1.0]]}}, RUN)
    entry = {
        "addons.msr.schedule": "step",
        "addons.msr.steps": 3,
        "addons.msr.base_weight": 0,
        "augment.recipes.weak.crop.scale": [0.5, 1.0],
    }
    check_enqueued([entry], space, RUN)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(space.params(entry))
    assert space.suggest(study.ask()) == entry


def test_space_enqueues_a_choice_however_it_is_written():
    first = {"name": "simclr", "temperature": 1.0}
    section = {
        "augment.recipes.weak.crop.scale": {"choice": [[0.2, 1.0], [0.5, 1.0]]},
        "method": {"choice": [first, {"name": "byol"}]},
    }
    space = read_space(section, RUN)
    entry = {"augment.recipes.weak.crop.scale": [0.2, 1], "method": {"temperature": 1, "name": "simclr"}}
    check_enqueued([entry], space, RUN)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(space.params(entry))
    assert space.suggest(study.ask()) == entry


def test_space_is_described_with_conditions():
    assert read_space(MSR, RUN).describe() == [
        "addons.msr.base_weight: uniform [0, 0.6]",
        "addons.msr.schedule: choice cosine, step, exponential",
        "addons.msr.steps: int [1, 4]  when addons.msr.schedule = step",
        "addons.msr.decay_rate: log_uniform [1, 10]  when addons.msr.schedule = exponential",
    ]


def test_space_without_dimensions_suggests_nothing():
    assert suggested(read_space({}, RUN), 2) == [{}, {}]


def test_range_tells_whole_numbers_truth_values_and_ends():
    whole = Range("int", 1, 4)
    assert [whole.holds(value) for value in (1, 4, 5, 2.0, True, "1")] == [True, True, False, False, False, False]
    assert [Range("uniform", 0.0, 1.0).holds(value) for value in (0, 1.0, 1.01, True)] == [True, True, False, False]
    assert [Choice((1.0, True)).holds(value) for value in (1, True, False)] == [True, True, False]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (0.5, "= 0.5: one of uniform, log_uniform, int, choice must be given"),
        ({}, "= {}: exactly one of uniform, log_uniform, int, choice must be given"),
        ({"uniform": [0, 1], "int": [0, 1]}, "exactly one of"),
        ({"unifrom": [0, 1]}, ".unifrom = [0, 1]: unknown key; did you mean uniform?"),
        ({"uniform": [0, 1], "wen": {}}, ".wen = {}: unknown key; did you mean when?"),
        ({"uniform": [0.3, 0.3]}, ".uniform = [0.3, 0.3]: low < high must hold"),
        ({"uniform": [0.6, 0.0]}, ".uniform = [0.6, 0.0]: low < high must hold"),
        ({"uniform": [0.0]}, ".uniform = [0.0]: must be a list of two numbers"),
        ({"uniform": ["0.1", 1.0]}, '= ["0.1", 1.0]: must be a list of two numbers, [low, high]'),
        ({"int": [0, 1.5]}, ".int = [0, 1.5]: must be a list of two integers"),
        ({"log_uniform": [0.0, 1.0]}, ".log_uniform = [0.0, 1.0]: low > 0 must hold on a logarithmic scale"),
        ({"log_uniform": [-1.0, 1.0]}, "low > 0 must hold"),
        ({"choice": []}, ".choice = []: a list of at least one value"),
        ({"choice": [0.1, 0.2, 0.1]}, "every value must be there once; 0.1 is there twice"),
        ({"uniform": [0.0, 1.5]}, "= 1.5: base_weight <= 1 must hold"),
        ({"choice": [0.1, "much"]}, "= much: must be a number"),
        ({"uniform": [0.0, 0.6], "when": "step"}, ".when = step: a mapping"),
        ({"uniform": [0.0, 0.6], "when": {"addons.msr.shedule": "step"}}, "did you mean addons.msr.schedule?"),
        (
            {"uniform": [0.0, 0.6], "when": {"addons.msr.schedule": "step"}},
            "can never hold: run.addons.msr.schedule is",
        ),
        ({"uniform": [0.0, 0.6], "when": {"addons.msr.base_weight": 0.1}}, "can never hold: one value of uniform"),
    ],
)
def test_search_names_what_is_wrong_with_a_dimension(spec, expected):
    message = mistakes({"addons.msr.base_weight": spec})
    assert message.startswith("search.addons.msr.base_weight")
    assert expected in message
    assert "\n" not in message


def test_search_offers_the_nearest_field():
    assert mistakes({"addons.msr.base_wieght": {"uniform": [0.0, 0.5]}}) == (
        "search.addons.msr.base_wieght = uniform [0, 0.5]: names no field of run; did you mean addons.msr.base_weight?"
    )


def test_search_tells_all_values_that_break_one_law_in_one_line():
    assert mistakes({"addons.msr.base_weight": {"choice": ["much", 0.1, "more"]}}) == (
        "search.addons.msr.base_weight = much or more: must be a number"
    )


@pytest.mark.parametrize(
    ("section", "names", "package"),
    [
        ("method", ["simclr", "byol", "byoll"], "methods"),
        ("encoder", ["resnet", "vit", "vitt"], "methods.encoders"),
        ("dataset", ["synthetic", "cifar10", "cifar11"], "orchestrator.datasets"),
    ],
)
def test_search_of_a_components_name_offers_the_whole_section(section, names, package):
    _, other, misspelt = names
    assert mistakes({f"{section}.name": {"choice": names}}).split("\n") == [
        f"search.{section}.name = {other}: each has fields of its own; search {section} as a whole, as in "
        f"{section}: {{choice: [{{name: ...}}]}}",
        f"search.{section}.name = {misspelt}: {package} has no {misspelt}; did you mean {other}?",
    ]


def test_search_refuses_conditions_on_values_that_are_never_taken():
    message = mistakes(
        {**MSR, "addons.msr.steps": {"int": [1, 4], "when": {"addons.msr.schedule": ["step", "linear"]}}}
    )
    assert message.startswith("search.addons.msr.steps.when.addons.msr.schedule = linear: can never hold")


def test_search_refuses_conditions_that_no_choice_of_a_section_meets():
    section = {
        "method": {"choice": [{"name": "simclr"}, {"name": "byol"}]},
        "training.threads": {"choice": [1, 2], "when": {"method.name": "moco_v2"}},
    }
    law = "can never hold: no choice of search.method has it there"
    assert mistakes(section) == f"search.training.threads.when.method.name = moco_v2: {law}"


def test_search_refuses_a_section_that_waits_for_what_lies_in_it():
    section = {
        "method.temperature": {"choice": [0.1, 0.5]},
        "method": {"choice": [{"name": "simclr"}], "when": {"method.temperature": 0.5}},
    }
    assert mistakes(section).startswith("search.method.when: waits for itself through method.temperature; drop one")


def test_search_refuses_conditions_that_contradict_those_they_build_on():
    section = {
        "addons.msr.schedule": {"choice": ["cosine", "step"]},
        "training.threads": {"choice": [1, 2], "when": {"addons.msr.schedule": "cosine"}},
        "addons.msr.steps": {"int": [1, 4], "when": {"addons.msr.schedule": "step", "training.threads": 1}},
    }
    assert "search.addons.msr.steps.when: can never hold: its conditions want different values" in mistakes(section)


def test_search_refuses_conditions_in_a_circle():
    section = {
        "training.threads": {"choice": [1, 2], "when": {"addons.msr.steps": 1}},
        "addons.msr.steps": {"choice": [1, 2], "when": {"training.threads": 1}},
    }
    assert mistakes(section).startswith("search.training.threads.when: waits for itself through addons.msr.steps")


def test_search_refuses_values_that_do_not_go_together():
    section = {"training.epochs": {"int": [2, 9]}, "optimizer.warmup_epochs": {"choice": [0.0, 2.5]}}
    assert "training.epochs = 2, optimizer.warmup_epochs = 2.5 do not go together" in mistakes(section)


def test_search_tells_the_mistakes_of_several_dimensions():
    lines = mistakes(
        {"training.epochs": {"int": [0, 3]}, "optimizer.lr": {"uniform": [2, 1]}, "seeed": {"int": [0, 1]}}
    )
    assert [line.split(" = ")[0] for line in lines.split("\n")] == [
        "search.optimizer.lr.uniform",
        "search.training.epochs",
        "search.seeed",
    ]


def test_values_that_the_data_do_not_allow_are_refused_alone_together_and_enqueued(monkeypatch):
    small, large = ({"name": "synthetic", "size": 16, "train_size": size} for size in (16, 64))
    both = {"dataset": {"choice": [large, small]}, "training.batch_size": {"choice": [16, 64]}}
    entry = {"dataset": small, "training.batch_size": 64}

    def refusal(section: dict, entries: list[dict]) -> str:
        with pytest.raises(ConfigError, match="training images; use at most") as caught:
            check_values_on_data(read_space(section, RUN), entries, RUN)
        return str(caught.value)

    assert refusal({"training.batch_size": {"int": [16, 99]}}, []).startswith("search.training.batch_size = 99: ")
    assert "training.batch_size = 64 do not go together: run.training" in refusal(both, [])
    monkeypatch.setattr(search_section, "_CORNERS", 1)  # as where there are too many to try
    assert refusal(both, [{}, entry]).startswith("sweep.enqueue.1: run.training.batch_size = 64: ")


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"addons.msr.base_wight": 0.1}, "= 0.1: is not searched; did you mean addons.msr.base_weight?"),
        ({"addons.msr.base_weight": 0.7}, "= 0.7: must lie in uniform [0, 0.6]"),
        ({"addons.msr.schedule": "linear"}, "= linear: must lie in choice cosine, step, exponential"),
        ({"addons.msr.schedule": "cosine", "addons.msr.steps": 2}, "exists only when addons.msr.schedule = step"),
        ({"addons.msr.steps": 2}, "exists only when addons.msr.schedule = step; add that"),
    ],
)
def test_enqueued_settings_must_be_ones_the_space_could_propose(entry, expected):
    with pytest.raises(ConfigError) as caught:
        check_enqueued([{}, entry], read_space(MSR, RUN), RUN)
    assert str(caught.value).startswith("sweep.enqueue.1.")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
