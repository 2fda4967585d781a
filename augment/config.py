"""The base class and the field types of every configuration."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Config(BaseModel):
    """A frozen, typed piece of a YAML file; a key that is no field is an error.

    Strict: a string is never taken for a number, nor 1 for true.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"low <= high must hold, got [{pair[0]}, {pair[1]}]")
    return pair


Probability = Annotated[float, Field(ge=0, le=1)]
# YAML has lists only; strict mode would refuse one where a pair is wanted.
Interval = Annotated[tuple[float, float], Field(strict=False), AfterValidator(_ordered)]
