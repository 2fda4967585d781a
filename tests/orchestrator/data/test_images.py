import subprocess
import sys

import numpy as np
import pytest

from orchestrator.data.images import ImageSet, fingerprint, require_split

IMAGES = np.zeros((4, 8, 8, 3), np.uint8)


# A type check guards the fields while tests run; users run without it, so this does too.
WITHOUT_TYPE_CHECK = """
import numpy as np
from orchestrator.data.images import ImageSet

images = np.zeros((4, 8, 8, 3), np.uint8)
for fields in (
    dict(images=images.astype(np.float32)),
    dict(images=images[..., :1]),
    dict(images=images, labels=np.zeros(3, np.int64)),
    dict(images=images, labels=np.zeros(4, np.int32)),
    dict(images=images, masks=np.zeros((4, 8, 7), np.uint8)),
    dict(images=images, masks=np.zeros((4, 8, 8), bool)),
    dict(images=images, accepted=np.zeros((4, 5), np.int64)),
    dict(images=images, accepted=np.zeros((3, 5), bool)),
):
    try:
        ImageSet(**fields)
    except ValueError as error:
        print(error)
    else:
        print("accepted")
"""


def test_image_set_refuses_what_does_not_fit_together():
    run = subprocess.run([sys.executable, "-c", WITHOUT_TYPE_CHECK], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == [
        "images must be uint8 (N, H, W, 3), got float32 (4, 8, 8, 3)",
        "images must be uint8 (N, H, W, 3), got uint8 (4, 8, 8, 1)",
        "labels must be int64 (4,), got int64 (3,)",
        "labels must be int64 (4,), got int32 (4,)",
        "masks must be uint8 (4, 8, 8), got uint8 (4, 8, 7)",
        "masks must be uint8 (4, 8, 8), got bool (4, 8, 8)",
        "accepted must be bool (4, C), got int64 (4, 5)",
        "accepted must be bool (4, C), got bool (3, 5)",
    ]


def test_image_set_has_the_length_of_its_images():
    assert len(ImageSet(IMAGES, np.zeros(4, np.int64), np.zeros((4, 8, 8), np.uint8))) == 4


def test_rows_of_an_image_set_keep_what_belongs_to_them():
    labels, accepted = np.arange(4), np.eye(4, dtype=bool)
    masks = np.full((4, 8, 8), labels[:, None, None], np.uint8)
    chosen = ImageSet(np.stack([masks] * 3, axis=-1), labels, masks, accepted).rows(np.array([3, 1]))
    assert chosen.labels.tolist() == chosen.images[:, 0, 0, 0].tolist() == chosen.masks[:, 0, 0].tolist() == [3, 1]
    np.testing.assert_array_equal(chosen.accepted, accepted[[3, 1]])
    assert ImageSet(IMAGES).rows(np.array([0])).labels is None


def test_fingerprint_depends_on_values_and_not_on_the_order_of_keys():
    assert fingerprint("a", {"x": 1, "y": 0.5}) == fingerprint("a", {"y": 0.5, "x": 1})
    assert len({fingerprint("a", {"x": 1}), fingerprint("b", {"x": 1}), fingerprint("a", {"x": 2})}) == 3
    assert fingerprint("a") == "0eb5b8d6f81bc677"  # must be the same in every process and on every machine


def test_require_split_names_the_splits_there_are():
    require_split("test/original", ["original"])
    require_split("validation/mixed_same", ["original"], ["mixed_same"])
    with pytest.raises(ValueError, match="train, bank, validation, test/original, got 'test'"):
        require_split("test", ["original"])
    with pytest.raises(ValueError, match="test/original, validation/mixed_same, got 'validation/original'"):
        require_split("validation/original", ["original"], ["mixed_same"])
