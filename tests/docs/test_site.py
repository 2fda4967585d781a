"""The site builds without a warning."""

import logging
import re

import pytest

from tests.docs.pages import PAGES, ROOT

mkdocs = pytest.importorskip("mkdocs", reason="the group docs is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of a site that was built strictly."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))  # raises at a warning
    logging.getLogger("mkdocs").handlers.clear()
    return folder


def test_every_page_is_built(site):
    for page in PAGES[1:]:
        built = site / ("index.html" if page.stem == "index" else f"{page.stem}/index.html")
        assert "<h1" in built.read_text(encoding="utf-8")


def test_file_of_the_repository_that_a_page_links_to_is_in_the_site(site):
    page = (site / "data" / "index.html").read_text(encoding="utf-8")
    copies = re.findall(r'(?:href|src)="(\.\./source/[^"]+)"', page)
    assert len(copies) >= 4
    assert all((site / "data" / copy).resolve().is_file() for copy in copies)


def test_site_asks_no_other_host(site):
    for built in site.rglob("*.html"):
        asked = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?:[^"]+)"', built.read_text(encoding="utf-8"))
        assert asked == []
