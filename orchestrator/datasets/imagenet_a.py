"""ImageNet-A: 7,500 photographs of 200 classes that a ResNet-50 got wrong (D. Hendrycks et al., arXiv 1907.07174).

root/<WordNet id>/*.jpg    (the unpacked imagenet-a.tar)
"""

from orchestrator.data import shifted


class Config(shifted.Settings):
    """Location of the set and of its references; see `shifted.Settings`."""

    name: str = "imagenet_a"


SET = shifted.Shifted(
    variant="imagenet_a",
    images=7_500,
    licence="MIT (the collection); the photographs are their owners'",
    groups=shifted.by_wnid,
    restricted=True,
)
card, load = SET.card, SET.load
