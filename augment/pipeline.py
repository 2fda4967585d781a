"""From a batch of images to the views that a method asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from augment import draws
from augment.views import Batch, Params, Step, View, ViewSpec

# What a batch holds once per image.
_PER_IMAGE = ("images", "masks", "backgrounds", "rows")


class Pipeline:
    """Makes the views of a batch; holds settings only, so that a call is a function of its arguments.

    Views of the same recipe and size are made together, as one longer batch: fewer kernels, the same numbers.

    Args:
        views: what to make, by name; a view may start from another one.
        recipes: steps by recipe name.
        mean: of the data set's red, green and blue, in [0, 1].
        std: idem, standard deviation, above 0.
        seed: of the run, in [0, 2^64).

    Raises:
        ValueError: if a view names an unknown recipe or parent, is its own ancestor, or would apply an op twice.
    """

    def __init__(
        self,
        views: Mapping[str, ViewSpec],
        recipes: Mapping[str, Sequence[Step]],
        *,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        seed: int,
    ) -> None:
        self._views, self._seed = dict(views), seed
        self._mean, self._std = mean, std
        self._steps = {name: _steps(name, spec, recipes) for name, spec in views.items()}
        self._groups = _groups(views, {name: _lineage(name, views) for name in views})
        for name in views:
            _refuse_repeated_ops(name, _lineage(name, views), self._steps)
        self._streams = [
            (name, step.name, draws.stream(f"{name}/{step.name}"), step.op.SLOTS)
            for name, steps in self._steps.items()
            for step in steps
        ]

    def __call__(self, batch: Batch, rows: Int64[Tensor, "B"], epoch: int) -> dict[str, View]:
        """Every view of a batch.

        Args:
            batch: images in [0, 1], and masks, backgrounds and a bank where steps want them.
            rows: place of each image in the data set: the address of its random numbers.
            epoch: pass over the data; another one gives other views.

        Returns:
            Normalised views by name, in the order in which they were asked for.

        Raises:
            ValueError: if a view asks for a size and no step of it gives one.
        """
        uniforms = self._draw(rows, epoch)
        batch = replace(batch, rows=rows)
        made: dict[str, tuple[Batch, dict[str, Params]]] = {}
        for group in self._groups:
            parents = [self._views[name].parent for name in group]
            sources = [(batch, {}) if parent is None else made[parent] for parent in parents]
            stacked, params = self._run(group, _concatenate([source for source, _ in sources]), uniforms)
            pieces = _split(stacked, params, len(group))
            for name, (_, inherited), (piece, own) in zip(group, sources, pieces, strict=True):
                made[name] = (piece, inherited | own)
        return {
            name: View(self._normalise(made[name][0].images), made[name][1], made[name][0].masks)
            for name in self._views
        }

    def _draw(self, rows: Int64[Tensor, "B"], epoch: int) -> dict[tuple[str, str], Float[Tensor, "B slots"]]:
        """All random numbers of a step in one go, by view and op."""
        requests = [(stream, slots) for _, _, stream, slots in self._streams]
        slices = draws.uniform_slices(self._seed, epoch, rows, requests)
        return {(view, op): piece for (view, op, _, _), piece in zip(self._streams, slices, strict=True)}

    def _run(
        self, group: Sequence[str], batch: Batch, uniforms: Mapping[tuple[str, str], Tensor]
    ) -> tuple[Batch, dict[str, Params]]:
        """The steps of a group of like views, on their concatenated batch."""
        size = self._views[group[0]].size
        params: dict[str, Params] = {}
        for step in self._steps[group[0]]:
            numbers = torch.cat([uniforms[name, step.name] for name in group])
            height, width = batch.images.shape[-2:]
            params[step.name] = step.op.sample(step.config, (height, width), numbers)
            batch = step.op.apply(batch, params[step.name], size)
        if size is not None and batch.images.shape[-2:] != (size, size):
            raise ValueError(
                f"a view's steps must give its size, got {tuple(batch.images.shape[-2:])} for size={size} "
                f"in view '{group[0]}': add crop to its recipe"
            )
        return batch, params

    def _normalise(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        mean, std = images.new_tensor(self._mean)[:, None, None], images.new_tensor(self._std)[:, None, None]
        return (images - mean) / std


def _steps(name: str, spec: ViewSpec, recipes: Mapping[str, Sequence[Step]]) -> tuple[Step, ...]:
    for recipe in spec.recipe:
        if recipe not in recipes:
            raise ValueError(f"view '{name}' must name a known recipe, got '{recipe}': known are {sorted(recipes)}")
    return tuple(step for recipe in spec.recipe for step in recipes[recipe])


def _lineage(name: str, views: Mapping[str, ViewSpec]) -> list[str]:
    """A view and its ancestors, the oldest first."""
    line = [name]
    while (parent := views[line[0]].parent) is not None:
        if parent not in views:
            raise ValueError(
                f"view '{line[0]}' must start from a known view, got '{parent}': known are {sorted(views)}"
            )
        if parent in line:
            raise ValueError(f"a view must not be its own ancestor, got {' <- '.join([parent, *line])}")
        line.insert(0, parent)
    return line


def _groups(views: Mapping[str, ViewSpec], lineages: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Views that can be made together, parents before children: those that went through the same recipes and sizes."""
    groups: dict[tuple, list[str]] = {}
    for name in sorted(views, key=lambda name: len(lineages[name])):
        history = tuple((views[ancestor].recipe, views[ancestor].size) for ancestor in lineages[name])
        groups.setdefault(history, []).append(name)
    return list(groups.values())


def _refuse_repeated_ops(name: str, lineage: Sequence[str], steps: Mapping[str, Sequence[Step]]) -> None:
    # Parameters are kept by op name, and random numbers are drawn by it: a second one would take the first one's place.
    ops = [step.name for ancestor in lineage for step in steps[ancestor]]
    repeated = sorted({op for op in ops if ops.count(op) > 1})
    if repeated:
        raise ValueError(f"a view and its ancestors must apply an op once, got {repeated} twice in view '{name}'")


def _concatenate(batches: Sequence[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    columns = {name: [getattr(batch, name) for batch in batches] for name in _PER_IMAGE}
    joined = {name: torch.cat(parts) for name, parts in columns.items() if parts[0] is not None}
    return replace(batches[0], **joined)


def _split(batch: Batch, params: Mapping[str, Params], parts: int) -> list[tuple[Batch, dict[str, Params]]]:
    """The inverse of `_concatenate`, for the parameters too."""
    columns = {name: getattr(batch, name) for name in _PER_IMAGE}
    chunks = {name: column.chunk(parts) for name, column in columns.items() if column is not None}
    pieces = [{op: {} for op in params} for _ in range(parts)]
    for op, values in params.items():
        for key, value in values.items():
            for piece, part in zip(pieces, value.chunk(parts), strict=True):
                piece[op][key] = part
    batches = [replace(batch, **{name: chunk[i] for name, chunk in chunks.items()}) for i in range(parts)]
    return [(batches[i], dict(pieces[i])) for i in range(parts)]
