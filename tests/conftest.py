"""Checks every shape annotation of the three packages while the tests run."""

from jaxtyping import install_import_hook

# Before any of our modules is imported; subprocesses (real command lines) run without it.
install_import_hook(["augment", "methods", "orchestrator"], "beartype.beartype")
