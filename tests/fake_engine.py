"""Torch's backward engine in Python, for the fake GPU, which has no device threads."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import Node


@torch.no_grad()
def backward(root: Tensor, sources: Sequence[Tensor] = ()) -> list[Tensor]:
    """Compute gradients of a scalar; replaces torch's engine, which needs a thread per device.

    Args:
        root: the scalar.
        sources: tensors whose gradients to return; if empty, gradients accumulate in the leaves.

    Returns:
        Gradients of the sources.
    """
    assert root.grad_fn is not None
    wanted, found = {id(source) for source in sources}, dict[int, Tensor]()
    gradients: dict[Node, dict[int, Tensor]] = defaultdict(dict)
    gradients[root.grad_fn] = {root.output_nr: torch.ones_like(root)}
    for node in _in_order(root.grad_fn):
        inputs = gradients.pop(node, {})
        if not inputs:
            continue
        if hasattr(node, "variable"):
            (gradient,), leaf = inputs.values(), node.variable
            if id(leaf) in wanted:
                found[id(leaf)] = gradient
            elif not wanted:
                leaf.grad = gradient.clone() if leaf.grad is None else leaf.grad.add_(gradient)
            continue
        outputs = node(*(inputs.get(place) for place in range(len(node._input_metadata))))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        for (after, place), output in zip(node.next_functions, outputs, strict=True):
            if after is not None and output is not None:
                form = after._input_metadata[place]
                output = output.sum_to_size(form.shape).to(form.dtype)
                there = gradients[after]
                there[place] = there[place] + output if place in there else output
    return [found[id(source)] for source in sources]


def _in_order(root: Node) -> Iterator[Node]:
    """Yield the nodes of a graph in topological order; among ready nodes the latest first, as torch's engine does."""
    arrivals: dict[Node, int] = defaultdict(int)
    waiting = [root]
    while waiting:
        for after, _ in waiting.pop().next_functions:
            if after is not None:
                arrivals[after] += 1
                if arrivals[after] == 1:
                    waiting.append(after)
    ready = [root]
    while ready:
        ready.sort(key=lambda node: node._sequence_nr())
        yield (node := ready.pop())
        for after, _ in node.next_functions:
            if after is not None:
                arrivals[after] -= 1
                if not arrivals[after]:
                    ready.append(after)
