"""Study files: a file is refused in lines that can be printed, or read with nothing of it lost."""

import copy
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from orchestrator.config.paths import flatten
from orchestrator.config.yaml_file import parse, write
from orchestrator.core.errors import UserError
from orchestrator.study.study_file import Study, load_study
from tests.orchestrator.studies import STUDY

SEARCHES: dict[str, Any] = {
    "addons.msr.schedule": {"choice": ["constant", "cosine", "step"]},
    "addons.msr.steps": {"int": [1, 4], "when": {"addons.msr.schedule": "step"}},
    "optimizer.lr": {"log_uniform": [0.01, 1.0]},
    "method": {"choice": [{"name": "simclr"}, {"name": "byol"}]},
    "augment.recipes.weak.crop.scale": {"choice": [[0.2, 1.0], [0.5, 1.0]]},
}
WORDS = [
    *("", "simclr", "byol", "swav", "msr", "augself", "background", "resnet", "vit", "knn", "collapse", "asha"),
    *("val_knn/1", "loss", "auto", "step", "cosine", "crop", "name", "seed", "a.b", "..", "/", "a b", "é", "\u2028"),
    *("1e-3", "008", "off", "null", "~", "<<", "=", "*a", "&a", "x" * 300, "methods.simclr", "os", ".py", "none"),
]
NUMBERS = st.one_of(
    st.integers(-3, 20),
    st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, 10_001, 1e-300, 1e300, -0.0, float("inf"), float("nan")]),
    st.floats(0, 3),
)
SCALARS = st.one_of(NUMBERS, st.sampled_from(WORDS), st.booleans(), st.none(), st.text(max_size=5))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*WORDS, "choice", "int", "when"]), inner, max_size=3),
    ),
    max_leaves=6,
)
SNIPPETS = st.sampled_from(
    [
        *(
            "[",
            "]",
            "{",
            "}",
            ":",
            ": ",
            "- ",
            ",",
            "\n",
            "\t",
            " ",
            "#",
            "'",
            '"',
            "|\n",
            ">\n",
            "? ",
            "%",
            "@",
            "`",
            "!",
        ),
        *("&a ", "*a", "<<: *a\n", "!!int ", "!!str ", "!!binary ", "!!python/name:os.system ", "---\n", "...\n"),
        *(
            "%YAML 1.1\n---\n",
            "\0",
            "\x07",
            "\ufeff",
            "\u2028",
            "\\ud800",
            '"\\0"',
            "008",
            "1:30",
            "1_0",
            "off",
            "1e400",
        ),
        *("[" * 200, "{a: " * 100, "&b [*b]", "9" * 5000, "- - - - - "),
    ]
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """A good study with some of its values, keys and sections changed."""
    tree = copy.deepcopy(STUDY)
    for path in draw(st.lists(st.sampled_from(sorted(SEARCHES)), max_size=3, unique=True)):
        tree["search"][path] = copy.deepcopy(SEARCHES[path])
    for _ in range(draw(st.integers(0, 3))):
        holders = [tree, *(place for place in flatten(tree).values() if isinstance(place, dict))]
        place = draw(st.sampled_from(holders))
        known = [*sorted(place), "seed", "confirm", "enqueue", "keep", "name", "mode", "every", "strength", "workers"]
        key = draw(st.sampled_from(known)) if draw(st.integers(0, 9)) else draw(st.sampled_from(WORDS))
        if draw(st.integers(0, 4)):
            place[key] = draw(VALUES)
        else:
            place.pop(key, None)
    return tree


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """A study as a file, some of whose characters are others."""
    text = yaml.safe_dump(draw(trees()), sort_keys=False, allow_unicode=True, default_flow_style=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(SNIPPETS) + text[at + draw(st.integers(0, 3)) :]
    content = text.encode("utf-8", "surrogatepass")
    return content if draw(st.integers(0, 20)) else draw(st.sampled_from([b"", b"\xff" + content, content[::2]]))


SETS = st.lists(
    st.builds(
        "{}={}".format,
        st.sampled_from(
            ["run.seed", "sweep.trials", "search.optimizer.lr", "run.training.epochs", "run.addons", "x", "run.", ""]
        ),
        st.sampled_from(["1", "-1", "{", "[*a]", "null", "{uniform: [0.1, 0.2]}", "off", "[" * 100, "1e400"]),
    ),
    max_size=1,
)
INPUTS = st.tuples(texts(), SETS)


def check(one: tuple[bytes, list[str]]) -> None:
    """Loads the file and holds the outcome to the rules."""
    content, sets = one
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        file = Path(folder) / "study.yaml"
        file.write_bytes(content)
        try:
            study = load_study(file, sets)
        except UserError as error:
            _require_lines(error, file)
            return
        _require_whole(study, content, bool(sets))
        file.write_text(write(study.dump()), encoding="utf-8")
        again = load_study(file)
    assert again.dump() == study.dump(), "the resolved file is another study"


def _require_lines(error: UserError, file: Path) -> None:
    """Each mistake in one line, which begins with where it is."""
    for line in str(error).split("\n"):
        assert line.startswith((f"{file}: ", "--set")), f"a line that does not say where: {line!r}"
        assert line.isprintable(), f"a line with control characters: {line!r}"
        assert len(line) < 2000, "a line that is too long to read"


def _require_whole(study: Study, content: bytes, changed: bool) -> None:
    """Everything in the file is in the study."""
    read = flatten(study.dump())
    for path, value in flatten(parse(content.decode("utf-8"))).items():
        if isinstance(value, dict | list) or changed:
            continue
        assert path in read, f"{path} was lost"
        assert read[path] == value, f"{path} = {value!r} became {read[path]!r}"
