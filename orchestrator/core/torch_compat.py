"""What this project needs of torch beyond its public interface."""

import inspect
from typing import TypeVar, cast

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

# Methods of an optimiser that torch wraps against its compiler, beside `step`.
_WRAPPED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def without_compiler(kind: type[Kind]) -> type[Kind]:
    """A kind of optimiser whose methods are not wrapped to keep torch's compiler away.

    Nobody compiles them here, and the wrappers import the compiler: over two seconds of every process that trains.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in _WRAPPED}
    return cast(
        type[Kind], type(kind.__name__, (kind,), methods | {"step": torch.no_grad()(inspect.unwrap(kind.step))})
    )
