"""The pages hold what they promise: an overview of one screenful, studies that load, measurements with their source."""

import re
from pathlib import Path

import pytest
import yaml

from orchestrator.study import study_file
from orchestrator.study.study_file import load_study
from tests.docs.pages import PAGES, ROOT, blocks, name, prose

STUDIES = [
    pytest.param(block, id=f"{name(page)}-{place}")
    for page in PAGES
    for place, block in enumerate(blocks(page, "yaml"))
    if re.search(r"^run:", block, re.MULTILINE) and "mylab." not in block  # that one is `test_extending.py`'s
]
MEASURED = [
    pytest.param(section, id=section.partition("\n")[0])
    for page in ("results.md", "performance.md")
    for section in (ROOT / "docs" / page).read_text(encoding="utf-8").split("\n## ")[1:]
]
WITHOUT_NUMBERS = ("On a GPU", "Where a step's time goes")  # and with a date where there is one


def test_overview_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 180


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_page_has_one_title(page):
    assert len(re.findall(r"^# ", prose(page), re.MULTILINE)) == 1
    assert page.read_text(encoding="utf-8").startswith("# ")


def test_studies_are_shown():
    assert len(STUDIES) >= 2


@pytest.mark.parametrize("block", STUDIES)
def test_study_that_is_shown_is_legal(block, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(study_file, "check_data", lambda run: None)  # published data would be fetched
    file = tmp_path / "mine.yaml"
    file.write_text(block, encoding="utf-8")
    assert load_study(file).sweep.trials > 0


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_yaml_that_is_shown_can_be_read(page):
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block)


@pytest.mark.parametrize("section", MEASURED)
def test_measurement_has_date_machine_and_command(section):
    title, _, body = section.partition("\n")
    if title not in WITHOUT_NUMBERS:
        assert re.search(r"^\*20\d\d-\d\d-\d\d, [^*]*(CPU|GPU)[^*]*`python -m [^`]+`[^*]*\*$", body, re.MULTILINE)
