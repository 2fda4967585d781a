"""Residual encoders for small and large images, with torchvision's parameter names."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from augment.config import Config as BaseConfig

Stem = Literal["cifar", "strided", "imagenet"]

# Number of basic blocks and of channels per stage, at width 1.
_STAGES: dict[str, tuple[Sequence[int], Sequence[int]]] = {
    "resnet8": ((1, 1, 1), (16, 32, 64)),
    "resnet18": ((2, 2, 2, 2), (64, 128, 256, 512)),
}


class Config(BaseConfig):
    """Which encoder is trained.

    Args:
        name: `resnet18`, or `resnet8` (three stages of one block, 64 features), which a CPU trains in minutes.
        stem: `cifar` 3x3 at stride 1; `strided` 3x3 at stride 2, a quarter of the cost; `imagenet` 7x7 at stride 2 and
            a max-pool.
        width: factor on the number of channels of every stage.
    """

    name: Literal["resnet8", "resnet18"] = "resnet18"
    stem: Stem = "cifar"
    width: float = Field(1.0, ge=0.125, le=4)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; starts as the identity because its last norm's scale starts at 0."""

    def __init__(self, num_inputs: int, num_outputs: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_outputs)
        self.bn2.weight.data.zero_()
        self.downsample: nn.Sequential | None = None
        if stride != 1 or num_inputs != num_outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(num_inputs, num_outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(num_outputs)
            )

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """The block's output; height and width are divided by the stride."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)


class ResNet(nn.Sequential):
    """A residual network without classifier.

    A sequence, so that the children carry torchvision's names and a state dict can be loaded there as it is. Under
    autocast the convolutions run in low precision while the norms keep their parameters and statistics in float32.

    Args:
        num_blocks: basic blocks of each stage.
        num_channels: channels of each stage.
        stem: what stands before the first stage, see `Config`.

    Source: arXiv 1512.03385, figure 3 and table 1; 3x3 stem without max-pool for small images: arXiv 2002.05709, B.9;
        zero-initialised residual branches: arXiv 1706.02677, section 5.1 (MSR's and AugSelf's code use them too).
    """

    def __init__(self, num_blocks: Sequence[int], num_channels: Sequence[int], *, stem: Stem) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        kernel = 7 if stem == "imagenet" else 3
        stride = 1 if stem == "cifar" else 2
        layers["conv1"] = nn.Conv2d(3, num_channels[0], kernel, stride=stride, padding=kernel // 2, bias=False)
        layers["bn1"] = nn.BatchNorm2d(num_channels[0])
        layers["relu"] = nn.ReLU(inplace=True)
        if stem == "imagenet":
            layers["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        num_inputs = num_channels[0]
        for i, (depth, num_outputs) in enumerate(zip(num_blocks, num_channels, strict=True)):
            strides = [1 if i == 0 else 2] + [1] * (depth - 1)
            blocks = []
            for stride in strides:
                blocks.append(BasicBlock(num_inputs, num_outputs, stride=stride))
                num_inputs = num_outputs
            layers[f"layer{i + 1}"] = nn.Sequential(*blocks)
        layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        super().__init__(layers)
        self.num_features = num_inputs

    def forward(self, input: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Pooled features of normalised images."""
        return super().forward(input)


def build(config: Config) -> ResNet:
    """The encoder a config asks for; its weights are still to be drawn by `methods.parts.initial`."""
    num_blocks, num_channels = _STAGES[config.name]
    return ResNet(num_blocks, [max(1, round(config.width * c)) for c in num_channels], stem=config.stem)
