"""Views that start from one another, cut into stretches that are made one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass

from augment.views import ViewSpec

# A view, and how many of its recipes have been applied.
Point = tuple[str, int]


@dataclass(frozen=True)
class Stage:
    """A stretch of a view's recipes without a point in it where another view leaves.

    Args:
        start: the point that it goes on from, of this view or of its parent; None for the source image.
        recipes: to apply, at least one or the view has none.
        size: of the view, in pixels.
    """

    start: Point | None
    recipes: tuple[str, ...]
    size: int | None


def staged(views: Mapping[str, ViewSpec]) -> dict[Point, Stage]:
    """Every view, cut where others leave it, by where each stage ends.

    Raises:
        ValueError: if a view starts from an unknown one or from itself, or leaves its parent after what that has not.
    """
    for name in views:
        _refuse_own_ancestor(name, views)
    starts = {name: _start(name, views) for name in views}
    stages = {}
    for name, spec in views.items():
        start, done = starts[name], 0
        cuts = {point[1] for point in starts.values() if point is not None and point[0] == name}
        for cut in sorted(cuts | {len(spec.recipe)}):
            stages[name, cut] = Stage(start, spec.recipe[done:cut], spec.size)
            start, done = (name, cut), cut
    return stages


def lineage(point: Point, stages: Mapping[Point, Stage]) -> list[Point]:
    """The stages up to a point, the first one first."""
    line = [point]
    while (start := stages[line[0]].start) is not None:
        line.insert(0, start)
    return line


def _refuse_own_ancestor(name: str, views: Mapping[str, ViewSpec]) -> None:
    line = [name]
    while (parent := views[line[0]].parent) is not None:
        if parent not in views:
            raise ValueError(
                f"view '{line[0]}' must start from a known view, got '{parent}': known are {sorted(views)}"
            )
        if parent in line:
            raise ValueError(f"a view must not be its own ancestor, got {' <- '.join([parent, *line])}")
        line.insert(0, parent)


def _start(name: str, views: Mapping[str, ViewSpec]) -> Point | None:
    """The point of its parent that a view starts from."""
    spec = views[name]
    recipe = () if spec.parent is None else views[spec.parent].recipe
    if spec.after is not None and spec.after not in recipe:
        raise ValueError(f"view '{name}' must leave its parent after one of {list(recipe)}, got '{spec.after}'")
    if spec.parent is None:
        return None
    return spec.parent, len(recipe) if spec.after is None else recipe.index(spec.after) + 1
