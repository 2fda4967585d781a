"""Any image model of timm, by its name; timm is an extra (`pip install '.[timm]'`).

Of timm 1.0's families two are refused, for weights that `methods.parts.initial` cannot draw: Sequencer for its LSTMs,
and SwiftFormer for a free vector of its attention. Both refusals name the weight.
"""

from collections.abc import MutableMapping
from difflib import get_close_matches
from typing import Any

import timm
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor, nn

from augment.config import Config as BaseConfig
from methods.contract import Encoder


class Config(BaseConfig):
    """Which of timm's models is trained, from scratch.

    Args:
        name: `timm`.
        model: as `timm.list_models()` has it, without the tag of pretrained weights: `convnext_atto`.
        image_size: side of the images in pixels, for models that are built for one size (most transformers); None for
            all others, and for the size that the model was published with.
    """

    name: str = "timm"
    model: str
    image_size: int | None = Field(None, ge=1, le=2048)

    @field_validator("model")
    @classmethod
    def _known(cls, model: str) -> str:
        if model in (known := timm.list_models()):
            return model
        nearest = "".join(f"; did you mean {name}?" for name in get_close_matches(model, known, n=1))
        raise ValueError(f"must be one of timm.list_models() of timm {timm.__version__}{nearest}")


class Timm(Encoder):
    """A model of timm without classifier, its pooling kept, whose state dict is the model's own.

    Args:
        model: built with `num_classes=0`. Its dropout and stochastic depth are turned off, for they draw from torch's
            generator, which no resume could wind back.
        num_features: that it gives.
    """

    def __init__(self, model: nn.Module, num_features: int) -> None:
        super().__init__()
        self.model = model
        self.num_features = num_features
        for layer in model.modules():
            # Dropout's, PatchDropout's, DropPath's and DropBlock's; or of layers that call dropout as a function.
            odds = ("p", "prob", "drop_prob") if "Drop" in type(layer).__name__ else ("drop_rate",)
            for name in odds:
                if hasattr(layer, name):
                    setattr(layer, name, 0.0)
        self.register_state_dict_post_hook(_drop_prefix)
        self.register_load_state_dict_pre_hook(_add_prefix)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Pooled features of normalised images."""
        return self.model(images)


def build(config: Config) -> Timm:
    """The encoder a config asks for; its weights are still to be drawn by `methods.parts.initial`.

    Raises:
        ValueError: if the model is asked for an image size and takes any, or does not take this one.
    """
    try:
        model: Any = timm.create_model(config.model, **_options(config))
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"model={config.model} cannot be built with image_size={config.image_size}: {error}"
        ) from error
    # A head without classifier may still widen what it pools (MobileNet's does).
    return Timm(model, getattr(model, "head_hidden_size", model.num_features))


def reference_code(config: Config) -> list[str]:
    """Lines of Python that make the same network in timm, so that an exported file can be read without us.

    Returns:
        Lines after which `model` takes the state dict as it is.
    """
    options = ", ".join(f"{name}={value}" for name, value in _options(config).items())
    return ["import timm", f'model = timm.create_model("{config.model}", {options})']


def _options(config: Config) -> dict[str, Any]:
    """The arguments of `timm.create_model` besides the name."""
    return {"num_classes": 0} | ({} if config.image_size is None else {"img_size": config.image_size})


def _drop_prefix(encoder: nn.Module, state: MutableMapping[str, Any], prefix: str, _: Any) -> None:
    """The names as timm has them."""
    _rename(state, f"{prefix}model.", prefix)


def _add_prefix(encoder: nn.Module, state: MutableMapping[str, Any], prefix: str, *_: Any) -> None:
    """The names as this module has them."""
    _rename(state, prefix, f"{prefix}model.")


def _rename(state: MutableMapping[str, Any], old: str, new: str) -> None:
    for name in [name for name in state if name.startswith(old)]:
        state[new + name.removeprefix(old)] = state.pop(name)
