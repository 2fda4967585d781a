"""Encoders and methods without numbers: enough to ask for a plan, or whether they can be built.

They are remembered, because a search space is tried at hundreds of settings that mostly share one method.
"""

import json
from functools import lru_cache

import torch

from methods.contract import Encoder, Method
from orchestrator.core.registry import find


@lru_cache(maxsize=32)
def encoder(settings: str) -> Encoder:
    """An encoder by its settings in JSON; raises as its module does."""
    encoders = find("methods.encoders", json.loads(settings)["name"])
    with torch.device("meta"):
        return encoders.build(encoders.Config.model_validate_json(settings))


@lru_cache(maxsize=32)
def method(settings: str, of: str) -> Method:
    """A method by its settings and its encoder's in JSON; raises as their modules do."""
    methods = find("methods", json.loads(settings)["name"])
    with torch.device("meta"):
        return methods.Method(methods.Config.model_validate_json(settings), encoder(of))
