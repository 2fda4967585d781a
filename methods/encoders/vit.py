"""Vision transformers, with timm's parameter names."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention

from augment.config import Config as BaseConfig
from methods.contract import Encoder

_DEPTH = 12
_WIDTH = {"tiny": 192, "small": 384}
_HEAD_WIDTH = 64


class Config(BaseConfig):
    """Which vision transformer is trained.

    Args:
        name: `vit`.
        variant: `tiny` has 192 features and 3 heads, `small` 384 and 6; both have 12 blocks.
        patch: side of a patch, in pixels.
        image_size: side of the images that positions are learnt for, in pixels; a multiple of `patch`. Other sizes are
            taken too, with interpolated positions, if they are multiples of `patch`.
        pool: what the features are: `token` the class token, `mean` the mean over patches, without a class token.
    """

    name: str = "vit"
    variant: Literal["tiny", "small"] = "tiny"
    patch: int = Field(4, ge=1, le=64)
    image_size: int = Field(32, ge=1, le=2048)
    pool: Literal["token", "mean"] = "token"

    @model_validator(mode="after")
    def _whole_patches(self) -> "Config":
        if self.image_size % self.patch:
            raise ValueError(
                f"image_size must be a multiple of patch, got image_size={self.image_size}, patch={self.patch}"
            )
        return self


class PatchEmbed(nn.Module):
    """Cuts images into patches and maps each to a token; a convolution whose stride is its size does both."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """One token per patch, in place."""
        return self.proj(images)


class Attention(nn.Module):
    """Every token looks at every token, in several heads."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """What each token gathers."""
        heads = self.qkv(tokens).unflatten(2, (3, -1, _HEAD_WIDTH))  # (B, N, 3, heads, 64)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, heads, N, 64)
        gathered = scaled_dot_product_attention(query, key, value)
        return self.proj(gathered.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """What each token makes of itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Each token on its own."""
        return self.fc2(self.act(self.fc1(tokens)))


class Block(nn.Module):
    """Attention and MLP, each behind a norm and around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """The tokens after one block."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class VisionTransformer(Encoder):
    """A vision transformer without classifier.

    Parameter names are timm's `vit_tiny_patch16_224` and `vit_small_patch16_224`, which users of small transformers
    have; torchvision's smallest is the base variant. With `mean` pooling the last norm comes after the mean and is
    called `fc_norm`, as there.

    Source: arXiv 2010.11929, section 3.1; tiny and small: arXiv 2012.12877, table 1. Positions of other image sizes by
        bicubic, antialiased interpolation, as in timm (the paper: "2D interpolation"). No dropout and no stochastic
        depth, as in arXiv 2104.02057, section 5 (MoCo v3), whose frozen patches and fixed positions we do not have.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, side = _WIDTH[config.variant], config.image_size // config.patch
        self.patch, self.side = config.patch, side
        self.patch_embed = PatchEmbed(config.patch, width)
        has_class = config.pool == "token"
        # No numbers until `methods.parts.initial` draws them; zeros would tell it to leave them at zero.
        self.cls_token = nn.Parameter(torch.full((1, 1, width), torch.nan)) if has_class else None
        self.pos_embed = nn.Parameter(torch.full((1, has_class + side**2, width), torch.nan))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(_DEPTH)))
        norm = nn.LayerNorm(width, eps=1e-6)
        self.norm, self.fc_norm = (norm, nn.Identity()) if has_class else (nn.Identity(), norm)
        self.num_features = width

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Features of normalised images.

        Raises:
            ValueError: if height or width is no multiple of the patch.
        """
        height, width = images.shape[2:]
        if height % self.patch or width % self.patch:
            raise ValueError(
                f"height and width of images must be multiples of patch, got {height} x {width} with patch={self.patch}"
            )
        patches = self.patch_embed(images)
        tokens = patches.flatten(2).transpose(1, 2)  # (B, N, D)
        if self.cls_token is not None:
            tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)  # (B, 1 + N, D)
        tokens = tokens + self._positions(*patches.shape[2:])
        tokens = self.norm(self.blocks(tokens))
        return self.fc_norm(tokens.mean(1) if self.cls_token is None else tokens[:, 0])

    def _positions(self, height: int, width: int) -> Float[Tensor, "1 N D"]:
        """Where each token is, on a grid of this many patches."""
        if (height, width) == (self.side, self.side):
            return self.pos_embed
        of_class, of_patches = self.pos_embed.tensor_split([self.pos_embed.shape[1] - self.side**2], dim=1)
        grid = of_patches.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)  # (1, D, h, w)
        grid = interpolate(grid, (height, width), mode="bicubic", antialias=True)
        return torch.cat((of_class, grid.flatten(2).transpose(1, 2)), dim=1)


def build(config: Config) -> VisionTransformer:
    """The encoder a config asks for; its weights are still to be drawn by `methods.parts.initial`."""
    return VisionTransformer(config)


def reference_code(config: Config) -> list[str]:
    """Lines of Python that make the same network in timm, so that an exported file can be read without us.

    Returns:
        Lines after which `model` takes the state dict as it is.
    """
    shape = f"img_size={config.image_size}, patch_size={config.patch}, dynamic_img_size=True, num_classes=0"
    pool = ', class_token=False, global_pool="avg"' if config.pool == "mean" else ""
    return ["import timm", f'model = timm.create_model("vit_{config.variant}_patch16_224", {shape}{pool})']
