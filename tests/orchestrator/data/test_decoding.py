"""Every way an image file can be, and the square of RGB it becomes; torchvision resizes and cuts as the oracle."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import v2

from orchestrator.data import decoding
from orchestrator.data.decoding import Unreadable, square
from tests.orchestrator.datasets.own_files import disc, encoded, picture


@pytest.mark.parametrize(("width", "height", "size"), [(20, 16, 8), (16, 21, 9), (33, 20, 20), (15, 40, 32), (9, 9, 9)])
def test_square_is_torchvisions_resize_and_centre_crop(width, height, size):
    image, mask = picture(0, width, height), disc(width, height)
    made = square(encoded(image), encoded(mask), size)
    for array, source, mode in (
        (made.image, image, v2.InterpolationMode.BICUBIC),
        (made.mask, mask, v2.InterpolationMode.BILINEAR),
    ):
        oracle = v2.Compose([v2.Resize(size, mode), v2.CenterCrop(size)])(source)
        np.testing.assert_array_equal(array, np.asarray(oracle))


GREY = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
COLOURS = np.asarray(picture(3, 8, 8))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(Image.fromarray(GREY)), np.repeat(GREY[..., None], 3, 2)),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257)), np.repeat(GREY[..., None], 3, 2)),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), np.repeat(GREY[..., None], 3, 2)),
        (encoded(Image.fromarray(GREY > 99)), np.repeat((255 * (GREY > 99))[..., None], 3, 2)),
        (encoded(Image.fromarray(COLOURS).quantize(256)), COLOURS),
        (encoded(Image.fromarray(COLOURS).quantize(256), "GIF"), COLOURS),
        (encoded(Image.fromarray(COLOURS).convert("CMYK"), "TIFF"), COLOURS),
        (encoded(Image.fromarray(COLOURS).convert("RGBA")), COLOURS),
    ],
    ids=["grey", "16 bits", "16-bit TIFF", "1 bit", "palette", "GIF", "CMYK", "RGBA"],
)
def test_every_kind_of_pixel_becomes_rgb(content, expected):
    np.testing.assert_array_equal(square(content, None, 8).image, expected)


def test_transparent_pixels_are_laid_over_white():
    clear = np.dstack((COLOURS, np.where(GREY > 99, 255, 0).astype(np.uint8)))
    expected = np.where((GREY > 99)[..., None], COLOURS, 255)
    np.testing.assert_array_equal(square(encoded(Image.fromarray(clear)), None, 8).image, expected)
    grey_and_alpha = Image.fromarray(np.dstack((GREY, clear[..., 3])), "LA")
    np.testing.assert_array_equal(square(encoded(grey_and_alpha), None, 8).image[GREY <= 99], 255)
    indexed = Image.fromarray(GREY // 128).convert("P")
    black_hidden = encoded(indexed, transparency=0)
    assert (square(black_hidden, None, 8).image[GREY < 128] == 255).all()
    assert (square(black_hidden, None, 8).image[GREY >= 128] != 255).any()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_image_is_turned_upright_and_its_mask_is_upright_already(orientation):
    upright = Image.fromarray(np.asarray(disc(12, 16).rotate(20))).convert("RGB")
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # to Pillow's transpositions, each undone by the viewer's
    turned = upright.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = square(encoded(turned, exif=exif), encoded(upright.convert("L")), 12)
    plain = square(encoded(upright), None, 12)
    np.testing.assert_array_equal(made.image, plain.image)
    assert not made.unmasked


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, "missing"),
        (b"", "missing"),
        (b"nonsense", "no image in a format that Pillow knows"),
        (encoded(disc())[:60], "truncated"),
        (encoded(disc(10, 10)), "of 10 x 10 pixels, its image of 20 x 16"),
        (encoded(Image.fromarray(np.asarray(disc()) // 100)), "empty: no pixel of 128 or more, its largest value is 2"),
        (encoded(disc().point(lambda value: 0)), "empty"),
        (encoded(Image.fromarray(np.ones((16, 20), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_mask_that_cannot_be_used_is_all_zero_with_a_reason(mask, expected):
    made = square(encoded(picture(0)), mask, 8)
    assert expected in made.unmasked
    assert (made.mask == 0).all()
    assert not square(encoded(picture(0)), encoded(disc()), 8).unmasked


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"no image", "^no image in a format that Pillow knows$"),
        (encoded(picture(0))[:200], "truncated"),
        (encoded(picture(0), "JPEG")[:300], "Truncated File Read"),
        (encoded(picture(0), "JPEG")[:-100], "truncated"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point"),
    ],
)
def test_unreadable_image_says_why_in_one_line(content, expected):
    with pytest.raises(Unreadable, match=expected) as caught:
        square(content, None, 8)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(1, 30_000), (30_000, 1), (3, 9000)])
def test_elongated_image_is_never_resized_as_a_whole(width, height):
    made = square(encoded(picture(5, width, height)), encoded(disc(width, height)), 1024)  # would be 27 to 90 gigabytes
    assert made.image.shape == (1024, 1024, 3)
    assert not made.unmasked


@pytest.mark.parametrize(("width", "height"), [(1, 900), (3, 700), (900, 40), (700, 3)])
def test_square_of_an_elongated_image_is_the_usual_one(width, height, monkeypatch):
    smooth = picture(5, max(1, width // 50), max(1, height // 50)).resize((width, height))
    usual = square(encoded(smooth), None, 32).image
    monkeypatch.setattr(decoding, "_LARGE", 1)
    np.testing.assert_allclose(square(encoded(smooth), None, 32).image, usual, atol=1)


def test_image_of_more_pixels_than_allowed_is_not_decoded():
    with pytest.raises(Unreadable, match=r"^20 x 16 pixels, more than run\.dataset\.max_pixels = 319: raise it"):
        square(encoded(picture(0)), None, 8, max_pixels=319)
    bomb = encoded(Image.new("1", (30_000, 30_000)))
    with pytest.raises(Unreadable, match=r"max_pixels = 178956970: raise it"):
        square(bomb, None, 8)
    mask = square(encoded(picture(0)), bomb, 8)
    assert "pixels" in mask.unmasked


def test_mask_of_zero_and_one_is_foreground_where_it_is_one():
    ones = Image.fromarray(np.asarray(disc()) // 255)
    made, usual = square(encoded(picture(0)), encoded(ones), 8), square(encoded(picture(0)), encoded(disc()), 8)
    np.testing.assert_array_equal(made.mask, usual.mask)
    assert (made.binary_mask, usual.binary_mask) == (True, False)


@pytest.mark.parametrize(
    ("content", "peak"),
    [
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 16)), 4080),
        (encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"), 65_535),
        (encoded(Image.fromarray(GREY)), None),
    ],
)
def test_largest_value_of_sixteen_bits_is_known(content, peak):
    assert square(content, None, 8).peak == peak


def test_formats_that_need_another_program_are_not_decoded():
    with pytest.raises(Unreadable, match="no image in a format that Pillow knows"):
        square(encoded(picture(0), "EPS"), None, 8)
