import numpy as np
import pytest
import torch

from augment import draws
from orchestrator.datasets import fashion_scenes
from orchestrator.datasets.fashion_scenes import composition, ingredients

ROWS = 2000


@pytest.fixture(scope="module")
def cutouts():
    return ingredients.cutouts("test")


@pytest.fixture(scope="module")
def windows():
    return ingredients.windows("test")


def scene(cutouts, windows, variant, *, split="same draws", rho=0.5, seed=0):
    return composition.compose(cutouts, windows, split=split, variant=variant, rho=rho, seed=seed)


@pytest.fixture
def flat_backgrounds(monkeypatch):
    """Backgrounds of one grey per family, 20 times its number, so that a finished image tells its family."""
    canvas = torch.arange(10, dtype=torch.uint8).repeat_interleave(32)[:, None, None].expand(-1, 32, 3) * 20
    flat = ingredients.Windows(
        canvas=canvas.contiguous(),
        top=torch.arange(10) * 32,
        room=torch.ones(10, 2, dtype=torch.int64),
        first=torch.arange(10),
        count=torch.ones(10, dtype=torch.int64),
    )
    monkeypatch.setattr(ingredients, "windows", lambda part: flat)


def families_of(images: fashion_scenes.ImageSet) -> np.ndarray:
    assert images.masks is not None
    outside = images.masks == 0
    return np.array([image[free][0, 0] // 20 for image, free in zip(images.images, outside, strict=True)])


@pytest.mark.parametrize(
    ("split", "rho", "share"),
    [
        ("train", 0.5, 0.55),
        ("train", 0.0, 0.1),
        ("train", 1.0, 1.0),
        ("bank", 0.9, 0.1),
        ("validation", 0.9, 0.0),
        ("validation/mixed_same", 0.0, 1.0),
        ("validation/mixed_rand", 0.9, 0.0),
        ("test/original", 0.3, 0.37),
        ("test/mixed_same", 0.0, 1.0),
        ("test/mixed_rand", 1.0, 0.0),
        ("test/mixed_next", 1.0, 0.0),
        ("test/no_fg", 0.0, 1.0),
    ],
)
def test_own_family_has_the_share_that_rho_says(flat_backgrounds, split, rho, share):
    images = fashion_scenes.load(fashion_scenes.Config(rho=rho, train_size=ROWS), split)
    own = (families_of(images) == images.labels).mean()
    assert abs(own - share) <= 4 * (share * (1 - share) / ROWS) ** 0.5


@pytest.mark.parametrize("split", ["validation", "test/mixed_rand"])
def test_mixed_rand_draws_the_nine_other_families_alike(flat_backgrounds, split):
    images = fashion_scenes.load(fashion_scenes.Config(), split)
    step = (families_of(images) - images.labels) % 10
    counts = np.bincount(step, minlength=10)
    assert counts[0] == 0
    expected = ROWS / 9
    assert ((counts[1:] - expected) ** 2 / expected).sum() < 26.1  # chi-square, 8 degrees of freedom, p = 0.001


def test_bank_draws_all_families_alike_for_each_class(flat_backgrounds):
    images = fashion_scenes.load(fashion_scenes.Config(rho=1.0, train_size=8000), "bank")
    table = np.zeros((10, 10))
    np.add.at(table, (images.labels, families_of(images)), 1)
    assert ((table - 80) ** 2 / 80).sum() < 138.0  # chi-square, 90 degrees of freedom, p = 0.001


def test_mixed_next_takes_the_next_class(flat_backgrounds):
    images = fashion_scenes.load(fashion_scenes.Config(), "test/mixed_next")
    np.testing.assert_array_equal(families_of(images), (images.labels + 1) % 10)


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("train", "train"),
        ("bank", "train"),
        ("validation", "validation"),
        ("validation/mixed_same", "validation"),
        ("test/original", "test"),
    ],
)
def test_split_takes_garments_and_strips_of_its_own_part_only(monkeypatch, split, part):
    taken = []
    for source in ("cutouts", "windows"):
        read = getattr(ingredients, source)
        monkeypatch.setattr(ingredients, source, lambda part, read=read: (taken.append(part), read(part))[1])
    fashion_scenes.load(fashion_scenes.Config(train_size=10), split)
    assert taken == [part, part]


@pytest.mark.parametrize("split", ["train", "bank", "validation", "test/original", "test/only_fg"])
def test_classes_are_balanced(split):
    images = fashion_scenes.load(fashion_scenes.Config(train_size=200, validation_size=100, test_size=50), split)
    assert set(np.bincount(images.labels)) == {len(images) // 10}


def test_composite_equals_a_plain_bilinear_placement(cutouts, windows):
    """The oracle walks pixel by pixel and knows only the meaning of the draws."""
    made = scene(cutouts[:3], windows, "mixed_same", seed=3)
    stream = draws.stream("fashion_scenes/same draws/foreground")
    (u,) = draws.uniforms(3, 0, torch.arange(3), [stream], 6).double().numpy()
    stream = draws.stream("fashion_scenes/same draws/background")
    (v,) = draws.uniforms(3, 0, torch.arange(3), [stream], 5)
    background = windows.cut(torch.arange(3), v[:, 2:]).numpy() / 255
    for row in range(3):
        scale, shift_x, shift_y = 0.8 + 0.3 * u[row, 0], 4 * u[row, 1] - 2, 4 * u[row, 2] - 2
        tint = 0.4 + 0.6 * u[row, 3:]
        for y in range(32):
            for x in range(32):
                at = ((y + 0.5 - 16 - shift_y) / scale + 13.5, (x + 0.5 - 16 - shift_x) / scale + 13.5)
                mask = _bilinear(cutouts[row] > 0, *at)
                colour = _bilinear(cutouts[row] / 255, *at) * tint + (1 - mask) * background[row, y, x]
                np.testing.assert_allclose(made.images[row, y, x], colour * 255, atol=0.51)
                assert abs(made.masks[row, y, x] - mask * 255) <= 0.51


def _bilinear(image: np.ndarray, y: float, x: float) -> float:
    """Zero outside the image; (0, 0) is the centre of the first pixel."""
    padded = np.pad(np.asarray(image, float), 20)
    y, x = y + 20, x + 20
    top, left = int(np.floor(y)), int(np.floor(x))
    a, b = y - top, x - left
    corner = padded[top : top + 2, left : left + 2]
    return float(np.array([1 - a, a]) @ corner @ np.array([1 - b, b]))


def test_variants_are_parts_of_one_composite(cutouts, windows):
    made = {variant: scene(cutouts[:500], windows, variant) for variant in fashion_scenes.VARIANTS}
    pixels = {variant: images.images.astype(int) for variant, images in made.items()}
    masks = made["mixed_same"].masks
    for images in made.values():
        np.testing.assert_array_equal(images.masks, masks)
    assert np.abs(pixels["only_fg"] + pixels["no_fg"] - pixels["mixed_same"]).max() <= 1
    assert (pixels["only_fg"][masks == 0] == 0).all()
    assert (pixels["no_fg"][masks == 255] == 0).all()
    assert 0.15 < (masks > 127).mean() < 0.6


@pytest.mark.parametrize("variant", ["only_bg_b", "only_bg_t"])
def test_only_bg_fills_the_bounding_box_and_nothing_else(cutouts, windows, variant):
    filled = scene(cutouts[:300], windows, variant)
    whole = scene(cutouts[:300], windows, "mixed_same")
    nothing = scene(np.zeros_like(cutouts[:300]), windows, "no_fg").images  # the background itself
    for row in range(300):
        rows, columns = np.nonzero(whole.masks[row])
        (top, bottom), (left, right) = (rows.min(), rows.max() + 1), (columns.min(), columns.max() + 1)
        box = np.zeros((32, 32), bool)
        box[top:bottom, left:right] = True
        # A mask under half a grey level rounds to 0 and still belongs to the box, so the box may be one pixel wider.
        near = np.zeros((34, 34), bool)
        near[top : bottom + 2, left : right + 2] = True
        near = near[1:-1, 1:-1]
        np.testing.assert_array_equal(filled.images[row][~near], nothing[row][~near])
        if variant == "only_bg_b":
            assert (filled.images[row][box] == 0).all()


def test_tiling_repeats_the_thickest_strip_beside_the_box():
    mask = torch.zeros(2, 1, 32, 32)
    mask[0, :, 10:30, 5:28] = 1  # above: 10 rows, below: 2, left: 5, right: 4
    mask[1, :, 1:31, 2:22] = 1  # right: 10 columns
    background = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    made = composition._combine("only_bg_t", torch.zeros(2, 3, 32, 32), mask, background)
    expected = background.clone()
    for y in range(10, 30):
        for x in range(5, 28):
            expected[0, :, y, x] = background[0, :, y % 10, x]
    for y in range(1, 31):
        for x in range(2, 22):
            expected[1, :, y, x] = background[1, :, y, 22 + (x - 22) % 10]
    torch.testing.assert_close(made, expected, rtol=0, atol=0)


def test_garment_that_fills_the_frame_still_gets_a_background():
    background = torch.ones(1, 3, 32, 32)
    made = composition._combine("only_bg_t", torch.zeros(1, 3, 32, 32), torch.ones(1, 1, 32, 32), background)
    assert (made == 1).all()


@pytest.mark.parametrize("split", ["train", "bank", "validation", "test/mixed_next"])
def test_load_is_repeatable_and_depends_on_the_seed(split):
    config = fashion_scenes.Config(train_size=50, validation_size=50, test_size=50)
    first, again = fashion_scenes.load(config, split), fashion_scenes.load(config, split)
    other = fashion_scenes.load(config.model_copy(update={"seed": 1}), split)
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.masks, again.masks)
    assert (first.images != other.images).mean() > 0.5


def test_smaller_split_is_the_beginning_of_a_larger_one():
    # The larger one is composed in two blocks.
    small = fashion_scenes.load(fashion_scenes.Config(train_size=2000), "train")
    large = fashion_scenes.load(fashion_scenes.Config(train_size=2100), "train")
    np.testing.assert_array_equal(small.images, large.images[:2000])
    assert (large.images[2000:] != large.images[:100]).mean() > 0.5


def test_every_split_has_draws_of_its_own():
    config = fashion_scenes.Config(rho=1.0, train_size=100, validation_size=100, test_size=100)
    for one, other in [
        ("train", "bank"),
        ("test/original", "test/mixed_same"),
        ("test/only_fg", "test/mixed_same"),
        ("validation", "validation/mixed_rand"),
        ("validation/mixed_same", "validation/mixed_rand"),
    ]:
        masks, others = fashion_scenes.load(config, one).masks, fashion_scenes.load(config, other).masks
        assert (masks != others).any(axis=(1, 2)).all()


def test_rho_moves_backgrounds_and_leaves_garments_alone():
    tied = fashion_scenes.load(fashion_scenes.Config(rho=1.0, train_size=200), "train")
    loose = fashion_scenes.load(fashion_scenes.Config(rho=0.0, train_size=200), "train")
    np.testing.assert_array_equal(tied.masks, loose.masks)
    covered = tied.masks == 255
    # A mask of 254.9 shows as 255 and lets a trace of background through.
    np.testing.assert_allclose(tied.images[covered].astype(int), loose.images[covered].astype(int), atol=1)
    assert (tied.images[~covered] != loose.images[~covered]).mean() > 0.5


@pytest.mark.parametrize("change", [{"rho": 0.6}, {"train_size": 7999}, {"validation_size": 1999}, {"test_size": 1999}])
def test_fingerprint_changes_with_every_setting(change):
    fingerprint = fashion_scenes.card(fashion_scenes.Config()).fingerprint
    assert fashion_scenes.card(fashion_scenes.Config(**change)).fingerprint != fingerprint
    assert fashion_scenes.card(fashion_scenes.Config(seed=1)).fingerprint != fingerprint
    # The fingerprint with which the first encoders were trained.
    assert fashion_scenes.card(fashion_scenes.Config()).fingerprint == fingerprint == "7a6629a98606f1ef"


def test_card_has_the_moments_of_the_training_images():
    images = fashion_scenes.load(fashion_scenes.Config(), "train").images / 255
    card = fashion_scenes.card(fashion_scenes.Config())
    np.testing.assert_allclose(images.mean((0, 1, 2)), card.mean, atol=0.01)
    np.testing.assert_allclose(images.std((0, 1, 2)), card.std, atol=0.01)
    assert card.num_classes == len(fashion_scenes.CLASSES) == len(ingredients.FAMILIES)


@pytest.mark.parametrize("wrong", [{"rho": 1.1}, {"train_size": 8001}, {"test_size": 0}, {"seed": -1}, {"roh": 0.5}])
def test_config_refuses_values_out_of_bounds(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        fashion_scenes.Config(**wrong)
