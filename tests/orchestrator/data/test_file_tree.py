"""Every file below a folder is found once, and what is not used is counted."""

import os

import pytest

from orchestrator.core.errors import UserError, printable
from orchestrator.data import file_tree
from orchestrator.data.file_tree import ignored_text, is_image, walk
from tests.orchestrator.datasets.own_files import encoded, picture, write


@pytest.fixture
def root(tmp_path):
    for name in ("root/b.png", "root/a/2.png", "root/a/1.png", "root/a/x/0.png", "root/c/3.png", "outside/4.png"):
        write(tmp_path / name, picture(0))
    return tmp_path / "root"


PLAIN = ["b.png", "a/1.png", "a/2.png", "a/x/0.png", "c/3.png"]


def test_files_come_folder_by_folder_in_sorted_order(root):
    tree = walk(root)
    assert tree.files == PLAIN
    assert tree.folders == ["a", "a/x", "c"]
    assert ignored_text(tree) == ""


@pytest.mark.parametrize(
    ("link", "target", "kind"),
    [
        ("up", "..", "link to a folder above"),
        ("a/self", ".", "link to a folder that is read anyway"),
        ("a/x/root", "../..", "link to a folder that is read anyway"),
        ("alias", "c", "link to a folder that is read anyway"),
        ("loop", "loop", "broken link"),
    ],
)
def test_link_shows_no_file_twice(root, link, target, kind):
    (root / link).symlink_to(target)
    tree = walk(root)
    assert tree.files == PLAIN
    assert ignored_text(tree) == f"ignored: 1 {kind} ({link})"


def test_two_links_that_lead_to_each_other_end(root):
    (root / "one").symlink_to(root.parent / "outside")
    (root / "two").symlink_to(root.parent / "outside")
    (root.parent / "outside/back").symlink_to(root)
    tree = walk(root)
    assert tree.files == [*PLAIN, "one/4.png"]
    assert tree.ignored == {"link to a folder that is read anyway": 2}


def test_folder_behind_two_links_at_different_depths_is_read_once(root):
    write(root.parent / "outside/deep/5.png", picture(0))
    (root / "d").symlink_to(root.parent / "outside/deep")
    (root / "e").symlink_to(root.parent / "outside")
    assert walk(root).files == [*PLAIN, "d/5.png", "e/4.png"]


def test_pipes_and_litter_are_counted_and_never_opened(root):
    os.mkfifo(root / "a/pipe.png")
    os.mkfifo(root / "other")
    for name in ("@eaDir/1.png", ".hidden/1.png", "__MACOSX/._1.png", "a/._1.png", "Thumbs.db"):
        write(root / name, picture(0))
    tree = walk(root)
    assert tree.files == PLAIN
    assert tree.ignored == {"named pipe": 2, file_tree.LITTER: 5}
    assert ignored_text(tree).startswith("ignored: 5 hidden or made by the system (")
    assert "2 named pipes (" in ignored_text(tree)


def test_folder_that_cannot_be_read_is_an_error(root, monkeypatch):
    scan = os.scandir

    def forbidden(place):
        if str(place).endswith("/c"):
            raise PermissionError(13, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(file_tree.os, "scandir", forbidden)
    with pytest.raises(UserError, match=r"root/c cannot be read: Permission denied"):
        walk(root)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jfif", b"", True),
        ("a.AVIF", b"", True),
        ("a.jp2", b"", True),
        ("a.jpe", b"", True),
        ("a.eps", b"", False),
        ("a.pdf", b"", False),
        ("a.json", encoded(picture(0)), False),
        ("a", encoded(picture(0), "JPEG"), True),
        ("a.001", encoded(picture(0)), True),
        ("a.dat", encoded(picture(0), "WEBP"), True),
        ("a.dat", b"text", False),
        ("a.dat", b"", False),
    ],
)
def test_images_are_known_by_ending_or_content(tmp_path, name, content, expected):
    write(tmp_path / name, content)
    assert is_image(tmp_path, name) is expected


def test_names_are_shown_in_one_line_of_ascii_or_letters():
    assert printable("a\nb\tä\udcff") == "a\\nb\\tä\\udcff"
