"""Residual networks for small and large images, with torchvision's parameter names."""

from typing import Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from augment.config import Config as BaseConfig
from methods.contract import Encoder

Stem = Literal["cifar", "strided", "imagenet"]


class Config(BaseConfig):
    """Which residual network is trained.

    Args:
        name: `resnet`.
        depth: number of layers with weights, the missing classifier included. 8 has three stages of one block and 64
            features, which a CPU trains in minutes; 18 and 34 have 512 features; 50 has bottlenecks and 2048.
        stem: `cifar` 3x3 at stride 1; `strided` 3x3 at stride 2, a quarter of the cost; `imagenet` 7x7 at stride 2 and
            a max-pool.
        width: factor on the number of channels of every stage.
    """

    name: str = "resnet"
    depth: Literal[8, 18, 34, 50] = 18
    stem: Stem = "cifar"
    width: float = Field(1.0, ge=0.125, le=4)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut; starts as the identity because its last norm's scale starts at 0."""

    expansion = 1  # channels that leave the block, per channel inside

    def __init__(self, num_inputs: int, num_channels: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.bn2.weight.data.zero_()
        self.downsample = _shortcut(num_inputs, num_channels, stride)

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """The block's output; height and width are divided by the stride."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + shortcut)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 around a shortcut; starts as the identity, like `BasicBlock`."""

    expansion = 4

    def __init__(self, num_inputs: int, num_channels: int, *, stride: int) -> None:
        super().__init__()
        num_outputs = num_channels * self.expansion
        self.conv1 = nn.Conv2d(num_inputs, num_channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_channels)
        self.conv2 = nn.Conv2d(num_channels, num_channels, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_channels)
        self.conv3 = nn.Conv2d(num_channels, num_outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(num_outputs)
        self.bn3.weight.data.zero_()
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(num_inputs, num_outputs, stride)

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """The block's output; height and width are divided by the stride."""
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + shortcut)


# By depth: the block, how many of them each stage has, and the channels inside them at width 1.
_SHAPES: dict[int, tuple[type[BasicBlock | Bottleneck], tuple[int, ...], tuple[int, ...]]] = {
    8: (BasicBlock, (1, 1, 1), (16, 32, 64)),
    18: (BasicBlock, (2, 2, 2, 2), (64, 128, 256, 512)),
    34: (BasicBlock, (3, 4, 6, 3), (64, 128, 256, 512)),
    50: (Bottleneck, (3, 4, 6, 3), (64, 128, 256, 512)),
}


class ResNet(Encoder):
    """A residual network without classifier.

    Its children carry torchvision's names, so that a state dict can be loaded there as it is. Under autocast the
    convolutions run in low precision while the norms keep their parameters and statistics in float32.

    Source: arXiv 1512.03385, figure 3 and table 1, with a bottleneck's stride on its 3x3 convolution as in torchvision
        ("v1.5"; the paper has it on the first 1x1); 3x3 stem without max-pool for small images: arXiv 2002.05709, B.9;
        zero-initialised residual branches: arXiv 1706.02677, section 5.1 (MSR's and AugSelf's code use them too).
    """

    any_size = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        block, num_blocks, widths = _SHAPES[config.depth]
        num_channels = [max(1, round(config.width * c)) for c in widths]
        kernel = 7 if config.stem == "imagenet" else 3
        stride = 1 if config.stem == "cifar" else 2
        self.conv1 = nn.Conv2d(3, num_channels[0], kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(num_channels[0])
        self.relu = nn.ReLU(inplace=True)
        if config.stem == "imagenet":
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        num_features = num_channels[0]
        for i, (depth, channels) in enumerate(zip(num_blocks, num_channels, strict=True)):
            stage = []
            for j in range(depth):
                stage.append(block(num_features, channels, stride=2 if i > 0 and j == 0 else 1))
                num_features = channels * block.expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.num_features = num_features

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D"]:
        """Pooled features of normalised images."""
        maps = images
        for layer in self.children():  # one after the other, in the order in which they were made
            maps = layer(maps)
        return maps


def build(config: Config) -> ResNet:
    """The encoder a config asks for; its weights are still to be drawn by `methods.parts.initial`."""
    return ResNet(config)


def reference_code(config: Config) -> list[str]:
    """Lines of Python that make the same network in torchvision, so that an exported file can be read without us.

    Returns:
        Lines after which `model` takes the state dict as it is; none where torchvision has no such network.
    """
    if config.depth == 8 or config.width != 1:
        return []
    lines = ["import torch, torchvision", f"model = torchvision.models.resnet{config.depth}()"]
    if config.stem != "imagenet":
        stride = 1 if config.stem == "cifar" else 2
        lines.append(f"model.conv1 = torch.nn.Conv2d(3, 64, 3, stride={stride}, padding=1, bias=False)")
        lines.append("model.maxpool = torch.nn.Identity()")
    return [*lines, "model.fc = torch.nn.Identity()"]


def _shortcut(num_inputs: int, num_outputs: int, stride: int) -> nn.Sequential | None:
    """What brings a block's input to the shape of its output, where they differ."""
    if stride == 1 and num_inputs == num_outputs:
        return None
    kind = _SubsampledFirst if stride > 1 and num_inputs < 8 else nn.Conv2d
    return nn.Sequential(kind(num_inputs, num_outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(num_outputs))


class _SubsampledFirst(nn.Conv2d):
    """A strided 1x1 convolution that drops the pixels it does not read before it convolves.

    For fewer than 8 channels, oneDNN's AVX2 kernel for the gradient of strided 1x1 weights writes past its buffer
    (uxlfoundation/oneDNN issue 6035; seen with torch 2.14.1): heap corruption or wrong gradients.
    """

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        """The same output as of the convolution itself."""
        rows, columns = self.stride
        return functional.conv2d(input[:, :, ::rows, ::columns], self.weight)
