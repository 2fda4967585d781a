import torch
from torch import nn

from methods.parts.heads import mlp


def test_mlp_is_linear_norm_relu_linear_without_last_bias():
    head = mlp([4, 8, 3])
    assert [type(layer) for layer in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [name for name, _ in head.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias", "3.weight"]
    assert head(torch.ones(5, 4)).shape == (5, 3)


def test_mlp_takes_any_depth():
    assert [type(layer) for layer in mlp([4, 3])] == [nn.Linear]
    assert len(mlp([4, 8, 8, 3])) == 7
