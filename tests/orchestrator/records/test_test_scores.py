"""The book of looks at test data."""

from pathlib import Path

from orchestrator.records import test_scores
from tests.orchestrator.invented_sweep import invent


def test_torn_entry_in_the_book_of_looks_does_not_count(tmp_path: Path) -> None:
    sweep = invent(tmp_path / "torn", trials=1)
    test_scores.note_use(sweep.path, "one", "data")
    with (sweep.path / "test_uses.jsonl").open("a") as file:
        file.write('{"time": 1.0, "tri')
    assert [look["encoder"] for look in test_scores.uses(sweep.path)] == ["one"]
    test_scores.note_use(sweep.path, "two", "data")
    assert [look["encoder"] for look in test_scores.uses(sweep.path)] == ["one", "two"]
