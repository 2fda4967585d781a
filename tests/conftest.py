"""Checks every shape annotation of the three packages while the tests run, and shares the tests out to processes."""

import pytest
from jaxtyping import install_import_hook

# Before any of our modules is imported; subprocesses (real command lines) run without it.
install_import_hook(["augment", "methods", "orchestrator"], "beartype.beartype")
import orchestrator.executors.ray  # noqa: E402, F401  (Ray reads its settings when a test imports it, and here they are)


@pytest.hookimpl(tryfirst=True)  # pytest-xdist's own hook reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of a file together, for they share fixtures, and begins with those that name a group.

    These start Ray, last longest and want every core: they must neither meet one another nor come last.
    """
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
