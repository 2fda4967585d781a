"""A hook of mkdocs: puts files outside docs/ that a page links to into the site, so that the same links work on both.

On a code host, `../search_spaces/msr.yaml` is the file in the repository. In the site, it is a copy below `source/`.
"""

import re
from pathlib import Path
from posixpath import normpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(r"(?<=\]\()\.\./([\w./-]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the linked files of the repository."""
    linked = {target for page in files.documentation_pages() for target in OUTSIDE.findall(page.content_string)}
    for target in sorted(linked):
        source = ROOT / target
        # Not a page of its own, whatever its ending: its links are relative to another place.
        name = (
            f"source/{target}.txt"
            if source.suffix in (".md", ".py", ".sbatch", ".toml", ".yaml")
            else f"source/{target}"
        )
        files.append(File.generated(config, normpath(name), content=source.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Points links to files outside docs/ at their copies."""

    def copied(match: re.Match[str]) -> str:
        copies = (f"source/{match[1]}", f"source/{match[1]}.txt")
        return next(name for name in copies if files.get_file_from_path(name))

    return OUTSIDE.sub(copied, markdown)
