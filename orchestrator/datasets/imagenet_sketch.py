"""ImageNet-Sketch: 50,889 black-and-white sketches of ImageNet's classes (H. Wang et al., arXiv 1905.13549).

root/<WordNet id>/*.JPEG    (the unpacked folder sketch)
"""

from orchestrator.data import shifted


class Config(shifted.Settings):
    """Location of the set and of its references; see `shifted.Settings`."""

    name: str = "imagenet_sketch"


SET = shifted.Shifted(
    variant="imagenet_sketch",
    images=50_889,
    licence="MIT (the collection); the sketches are their owners'",
    groups=shifted.by_wnid,
)
card, load = SET.card, SET.load
