import pytest

from orchestrator.core.errors import UserError
from orchestrator.study import shipped


def test_a_search_space_is_found_by_name_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped.path_of("msr") == str(shipped.FOLDER / "msr.yaml")
    assert {"msr", "smoke", "joint"} <= set(shipped.names())


@pytest.mark.parametrize("file", ["mine.yaml", "folder/msr", "s3://bucket/msr.yaml", "./msr"])
def test_a_path_stays_a_path(file):
    assert shipped.path_of(file) == file


def test_a_file_of_the_users_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "msr").write_text("sweep: {}\n")
    assert shipped.path_of("msr") == "msr"


def test_an_unknown_name_is_refused_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^mrs: no such file or search space; did you mean msr[?]$"):
        shipped.path_of("mrs")
