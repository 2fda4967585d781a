"""From a batch of images to the views that a method asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from augment import draws, shortcuts
from augment.constants import constant
from augment.stages import Point, lineage, staged
from augment.views import Batch, Params, Step, View, ViewSpec, joined

# What a batch holds once per image.
_PER_IMAGE = ("images", "masks", "backgrounds", "rows", "lenders")

# On CPU a batch is split into parts whose views have this many bytes: many times more would not fit in the cache, and
# with half as many the ops' parameters would cost as much as the pixels.
_AT_ONCE = 16 << 20


class Pipeline:
    """Makes the views of a batch; holds settings only, so that a call is a function of its arguments.

    Views with equal steps and sizes are made together as one longer batch: fewer kernels, the same numbers.

    Args:
        views: what to make, by name; a view may start from another one.
        recipes: steps by recipe name.
        mean: of the data set's red, green and blue, in [0, 1].
        std: standard deviation of each channel, above 0.
        seed: of the run, in [0, 2^64).

    Raises:
        ValueError: if a view names an unknown recipe or parent, is its own ancestor, would apply an op twice, or asks
            for a size that none of its steps gives.
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
        self._steps = {name: _steps(name, spec.recipe, recipes) for name, spec in views.items()}
        stages = staged(views)
        lineages = {point: lineage(point, stages) for point in stages}
        self._stages = {point: (stage, _steps(point[0], stage.recipes, recipes)) for point, stage in stages.items()}
        self._groups = self._alike(lineages)
        for name, spec in views.items():
            steps = [self._stages[point][1] for point in lineages[name, len(spec.recipe)]]
            _refuse_repeated_ops(name, [step.name for part in steps for step in part])
            _require_size(name, spec, [step for part in steps for step in part])
        self._streams = [
            ((name, step.name), draws.stream(f"{name}/{step.name}"), step.op.SLOTS - _shared(step))
            for name, steps in self._steps.items()
            for step in steps
        ]
        common = {step.name: _shared(step) for steps in self._steps.values() for step in steps if _shared(step)}
        # No view's name has a star in it.
        self._streams += [(("*", op), draws.stream(f"*/{op}"), slots) for op, slots in common.items()]

    @property
    def needs(self) -> frozenset[str]:
        """The fields of a batch, besides its images, without which some step cannot be applied."""
        steps = [step for steps in self._steps.values() for step in steps if hasattr(step.op, "needs")]
        return frozenset[str]().union(*(step.op.needs(step.config) for step in steps))

    def __call__(self, batch: Batch, rows: Int64[Tensor, "B"], epoch: draws.Epoch) -> dict[str, View]:
        """Every view of a batch.

        From the second call on nothing is copied to or from the host, if `epoch` is on the device too, so a CUDA graph
        can capture it.

        Args:
            batch: images in [0, 1], and what else the steps need.
            rows: place of each image in the data set: the address of its random numbers.
            epoch: pass over the data; another one gives other views.

        Returns:
            Normalised views by name, in the order in which they were asked for.

        Raises:
            ValueError: if a step needs what the batch lacks.
        """
        batch = replace(batch, rows=rows, neutral=self._mean)
        pieces = self._pieces(batch.images)
        # A part that fills the cache by itself is not concatenated.
        groups = self._groups if pieces == 1 else [[point] for group in self._groups for point in group]
        parts: dict[str, list[View]] = {name: [] for name in self._views}
        whole: dict[str, Tensor] = {}
        drawn = {address: numbers.chunk(pieces) for address, numbers in self._draw(rows, epoch).items()}
        done = 0
        for turn, (piece, _) in enumerate(_split(batch, {}, pieces)):
            numbers = {address: chunks[turn] for address, chunks in drawn.items()}
            for name, (made, params) in self._made(groups, piece, numbers).items():
                if name not in whole:
                    whole[name] = made.images.new_empty((len(rows), *made.images.shape[1:]))
                images = self._normalise(made.images, whole[name][done : done + len(made.images)])
                masks = None if made.masks is None else made.masks.contiguous()
                parts[name].append(View(images, params, masks))
            done += len(piece.images)
        return {name: joined(parts[name], whole[name]) for name in self._views}

    def _pieces(self, images: Float[Tensor, "B 3 H W"]) -> int:
        """In how many parts to make the views of images, which changes no number."""
        if not shortcuts.readable(images):
            return 1
        pixels = sum(images[0, 0].numel() if spec.size is None else spec.size**2 for spec in self._views.values())
        together = max(1, _AT_ONCE // (images[0, 0, 0, 0].nbytes * 3 * pixels))
        return max(1, -(-len(images) // together))

    def _made(
        self, groups: Sequence[Sequence[Point]], batch: Batch, uniforms: Mapping[tuple[str, str], Tensor]
    ) -> dict[str, tuple[Batch, dict[str, Params]]]:
        """Every view of a batch before it is normalised, with the parameters of all its ops."""
        made: dict[Point, tuple[Batch, dict[str, Params]]] = {}
        for group in groups:
            starts = [self._stages[point][0].start for point in group]
            sources = [(batch, {}) if start is None else made[start] for start in starts]
            stacked, params = self._run(group, _concatenate([source for source, _ in sources]), uniforms)
            pieces = _split(stacked, params, len(group))
            for point, (_, inherited), (piece, own) in zip(group, sources, pieces, strict=True):
                made[point] = (piece, inherited | own)
        return {name: made[name, len(spec.recipe)] for name, spec in self._views.items()}

    def _alike(self, lineages: Mapping[Point, Sequence[Point]]) -> list[list[Point]]:
        """Stages that can be made together, parents before children: those that went through equal steps and sizes."""
        groups: list[tuple[list, list[Point]]] = []
        for point in sorted(lineages, key=lambda point: len(lineages[point])):
            history = [(self._stages[ancestor][1], self._stages[ancestor][0].size) for ancestor in lineages[point]]
            # Compared, not hashed: a user's op may have settings that cannot be.
            group = next((group for other, group in groups if other == history), None)
            if group is None:
                groups.append((history, group := []))
            group.append(point)
        return [group for _, group in groups]

    def _draw(self, rows: Int64[Tensor, "B"], epoch: draws.Epoch) -> dict[tuple[str, str], Float[Tensor, "B slots"]]:
        """All random numbers of a step in one go, by view and op; the view `*` has what all views share."""
        requests = [(stream, slots) for _, stream, slots in self._streams]
        slices = draws.uniform_slices(self._seed, epoch, rows, requests)
        return {address: piece for (address, _, _), piece in zip(self._streams, slices, strict=True)}

    def _run(
        self, group: Sequence[Point], batch: Batch, uniforms: Mapping[tuple[str, str], Tensor]
    ) -> tuple[Batch, dict[str, Params]]:
        """The steps of a group of like stages, on their concatenated batch."""
        stage, steps = self._stages[group[0]]
        params: dict[str, Params] = {}
        for step in steps:
            numbers = torch.cat([uniforms[view, step.name] for view, _ in group])
            if _shared(step):
                numbers = torch.cat((uniforms["*", step.name].repeat(len(group), 1), numbers), dim=1)
            height, width = batch.images.shape[-2:]
            params[step.name] = step.op.sample(step.config, (height, width), numbers)
            batch = step.op.apply(batch, params[step.name], stage.size)
        return batch, params

    def _normalise(self, images: Float[Tensor, "B 3 H W"], place: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        mean, std = (constant(values, images)[:, None, None] for values in (self._mean, self._std))
        return torch.sub(images, mean, out=place).div_(std)


def _shared(step: Step) -> int:
    """How many slots of an op are the same for all views of an image."""
    return getattr(step.op, "SHARED", 0)


def _steps(view: str, names: Sequence[str], recipes: Mapping[str, Sequence[Step]]) -> tuple[Step, ...]:
    for recipe in names:
        if recipe not in recipes:
            raise ValueError(f"view '{view}' must name a known recipe, got '{recipe}': known are {sorted(recipes)}")
    return tuple(step for recipe in names for step in recipes[recipe])


def _refuse_repeated_ops(name: str, ops: Sequence[str]) -> None:
    # Parameters are kept by op name, and random numbers are drawn by it: a second one would take the first one's place.
    repeated = sorted({op for op in ops if ops.count(op) > 1})
    if repeated:
        raise ValueError(f"a view and its ancestors must apply an op once, got {repeated} twice in view '{name}'")


def _require_size(name: str, spec: ViewSpec, steps: Sequence[Step]) -> None:
    if spec.size is not None and not any(getattr(step.op, "RESIZES", False) for step in steps):
        raise ValueError(
            f"a view's steps must give its size, got size={spec.size} and none that does in view '{name}': add crop to "
            f"{' or '.join(spec.recipe)}"
        )


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
