"""Enables runtime checks of all shape annotations, and distributes the tests to processes."""

import pytest
from jaxtyping import install_import_hook

# Before any module of the packages is imported; subprocesses (real command lines) run without it.
install_import_hook(["augment", "methods", "orchestrator"], "beartype.beartype")
import orchestrator.executors.ray  # noqa: E402, F401  (sets the variables that Ray reads on import)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's hook, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests of a file in one process, since they share fixtures, and start with those that name a group.

    Tests with a group start Ray, take longest and use every core, so they must not run concurrently, nor last.
    """
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.location[0]))
