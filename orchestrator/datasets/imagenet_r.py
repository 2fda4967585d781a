"""ImageNet-R: 30,000 renditions (art, cartoons, toys, ...) of 200 classes (D. Hendrycks et al., arXiv 2006.16241).

root/<WordNet id>/*.jpg    (the unpacked imagenet-r.tar)
"""

from orchestrator.data import shifted


class Config(shifted.Settings):
    """Location of the set and of its references; see `shifted.Settings`."""

    name: str = "imagenet_r"


SET = shifted.Shifted(
    variant="imagenet_r",
    images=30_000,
    licence="MIT (the collection); the images are their owners'",
    groups=shifted.by_wnid,
    restricted=True,
)
card, load = SET.card, SET.load
