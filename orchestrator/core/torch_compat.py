"""What this project needs of torch beyond its public interface."""

import inspect
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

# Methods of an optimizer that torch wraps to disable its compiler, besides `step`.
_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def without_compiler(kind: type[Kind]) -> type[Kind]:
    """An optimizer class whose methods are not wrapped to disable torch's compiler.

    Optimizers are never compiled here, and the wrappers import the compiler: over two seconds per process.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    return cast(
        type[Kind], type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})
    )
