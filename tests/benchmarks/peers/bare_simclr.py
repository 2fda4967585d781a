"""SimCLR on a small ResNet as written in a notebook; imports nothing from this repository."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, num_inputs: int, num_outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(num_inputs, num_outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(num_outputs)
        self.conv2 = nn.Conv2d(num_outputs, num_outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(num_outputs)
        if stride != 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(num_inputs, num_outputs, 1, stride, bias=False), nn.BatchNorm2d(num_outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class Encoder(nn.Module):
    """ResNet-8 with a 3x3 stem at stride 2; the parameter names are torchvision's."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(Block(16, 16, 1))
        self.layer2 = nn.Sequential(Block(16, 32, 2))
        self.layer3 = nn.Sequential(Block(32, 64, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.layer3(self.layer2(self.layer1(x))).mean(dim=(2, 3))


class SimCLR(nn.Module):
    def __init__(self, temperature: float, hidden: int, outputs: int):
        super().__init__()
        self.temperature = temperature
        self.encoder = Encoder()
        self.projector = nn.Sequential(
            nn.Linear(64, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs, bias=False)
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        z = F.normalize(torch.cat([self.projector(self.encoder(x)) for x in (first, second)]), dim=1)
        count = len(first)
        logits = (z @ z.T / self.temperature).fill_diagonal_(-torch.inf)
        return F.cross_entropy(logits, (torch.arange(2 * count) + count) % (2 * count))
