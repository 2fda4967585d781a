"""A suite: the protocols to measure and the data sets to measure them on, read from one YAML file.

datasets:                               # `own` is what the encoder was trained on, and is always defined
  pets: {name: pets, root: ~/pets}
protocols:
  knn: {}                               # on `own`
  few_shot: {data: [own, pets], shots: [1, 5]}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.config import Config
from orchestrator.config import yaml_file
from orchestrator.config.mistakes import Mistake, show
from orchestrator.config.overrides import change, located
from orchestrator.config.run import Named
from orchestrator.config.sections import chosen, read, section, strangers
from orchestrator.core.errors import UserError
from orchestrator.core.registry import find, suggest
from orchestrator.evaluate import suites

OWN = "own"
PROTOCOLS = "orchestrator.evaluate.protocols"
_SECTIONS = ("datasets", "protocols")


@dataclass(frozen=True)
class Task:
    """One protocol of a suite.

    Args:
        protocol: its module's name.
        config: its settings.
        on: names of its data sets.
    """

    protocol: str
    config: Config
    on: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """A validated suite.

    Args:
        name: of the suite.
        datasets: by name, those that a task uses.
        tasks: in their order.
    """

    name: str
    datasets: Mapping[str, Named]
    tasks: Sequence[Task]


def load(name: str, sets: Sequence[str], own: Mapping[str, Any] | None, decoding: Mapping[str, Any]) -> Suite:
    """Reads a suite, applies the changes of the command line, and validates it.

    Args:
        name: of a suite that comes with AugSweep, or the path of a file.
        sets: changes, each `path=value` with a path from the root of the file.
        own: the section of the data set that the encoder was trained on, or None if unknown.
        decoding: of the encoder, see `FrozenEncoder`; data that can be decoded at any size are decoded as it asks for.

    Raises:
        UserError: with one line per mistake.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else suites.FOLDER / f"{name}.yaml"
    if path.parent == suites.FOLDER and not path.exists():
        law = (
            f"there is no such suite{suggest(name, suites.names())}; name a file, or one of {', '.join(suites.names())}"
        )
        raise UserError(f"--suite {name}: {law}")
    tree, mistakes = yaml_file.read(path, _SECTIONS, suites.FOLDER), list[Mistake]()
    mistakes += strangers(tree, _SECTIONS)
    datasets = section(tree, "datasets", mistakes)
    tree["datasets"] = ({OWN: dict(own)} if own else {}) | datasets
    example = "protocols.few_shot.tasks=100"
    changed = {change(tree, text, mistakes, sections=_SECTIONS, example=example) for text in sets}
    tasks = _tasks(section(tree, "protocols", mistakes), list(tree["datasets"]), mistakes)
    wanted = {where for task in tasks for where in task.on}
    configs = {}
    for where, raw in tree["datasets"].items():
        if where in wanted:
            configs[where] = _dataset(raw, f"datasets.{where}", decoding, mistakes)
    if mistakes:
        raise located(mistakes, path if path.parent != suites.FOLDER else f"suite {name}", changed)
    return Suite(path.stem, configs, tasks)


def _tasks(protocols: Mapping[str, Any], datasets: Sequence[str], mistakes: list[Mistake]) -> list[Task]:
    tasks = []
    if not protocols:
        mistakes.append(Mistake("protocols", "must name at least one protocol"))
    for name, raw in protocols.items():
        path = f"protocols.{name}"
        if not isinstance(raw, dict):
            mistakes.append(Mistake(path, "must be a mapping (key: value); write {} for none", show(raw)))
            continue
        settings = {key: value for key, value in raw.items() if key != "data"}
        try:
            config = read(find(PROTOCOLS, name).Config, settings, path, mistakes)
        except UserError as error:
            mistakes.append(Mistake(path, str(error)))
            continue
        on = _data(raw.get("data", [OWN]), f"{path}.data", datasets, mistakes)
        if config is not None:
            tasks.append(Task(name, config, on))
    return tasks


def _data(raw: Any, path: str, datasets: Sequence[str], mistakes: list[Mistake]) -> tuple[str, ...]:
    if not isinstance(raw, list) or not raw or not all(isinstance(name, str) for name in raw):
        mistakes.append(Mistake(path, "must be a list of names of data sets", show(raw)))
        return ()
    for name in raw:
        if name not in datasets:
            law = f"datasets has no {name}{suggest(name, list(datasets))}"
            if name == OWN:
                law = (
                    "the data that the encoder was trained on are unknown; name them with "
                    "--set datasets.own.name=fashion_scenes"
                )
            mistakes.append(Mistake(path, law, "" if name == OWN else show(raw)))
    return tuple(raw)


def _dataset(raw: Any, path: str, decoding: Mapping[str, Any], mistakes: list[Mistake]) -> Any:
    if not isinstance(raw, dict):
        mistakes.append(Mistake(path, "must be a mapping (key: value)", show(raw)))
        return None
    try:
        module = find("orchestrator.datasets", str(raw.get("name")))
    except UserError:
        pass  # reported by `chosen`
    else:
        if "size" not in raw:
            raw = {field: value for field, value in decoding.items() if field in module.Config.model_fields} | raw
    return chosen("orchestrator.datasets", raw, path, mistakes)
