"""A shape gives the same strokes whatever its pen, color, size, place, light and noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation

from siamese_oneshot.data.foreground import CENTER, EXTENT, NoForeground, normalize

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
_ROUND = [(0.5 + 0.5 * np.cos(t), 0.5 + 0.5 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 40)]
SHAPES = {
    "A": [[(0, 1), (0.5, 0), (1, 1)], [(0.2, 0.6), (0.8, 0.6)]],
    "i": [[(0.5, 0.35), (0.5, 1), (0.8, 0.9)], [(0.5, 0.03), (0.5, 0.06)]],
    "theta": [_ROUND, [(0, 0.5), (1, 0.5)]],
    "H": [[(0, 0), (0, 1)], [(0.7, 0), (0.7, 1)], [(0, 0.5), (0.7, 0.5)]],
}


def strokes(shape, size=(600, 400), pen=8.0, where=(0.5, 0.5), extent=0.7):
    """Share of ink 0 … 1 ``(h, w)``: round-tipped lines of a width in pixels, antialiased."""
    fine, (width, height) = 4, size
    image = Image.new("L", (width * fine, height * fine), 0)
    draw = ImageDraw.Draw(image)
    length, tip = min(size) * extent * fine, pen * fine / 2
    for stroke in SHAPES[shape]:
        points = [
            (
                (x - 0.5) * length + where[0] * width * fine,
                (y - 0.5) * length + where[1] * height * fine,
            )
            for x, y in stroke
        ]
        draw.line(points, fill=255, width=round(pen * fine), joint="curve")
        for x, y in points:
            draw.ellipse([x - tip, y - tip, x + tip, y + tip], fill=255)
    return np.asarray(image.reduce(fine), np.float32) / 255


def opaque(rgb):
    rgb = np.clip(rgb, 0, 255).round().astype(np.uint8)
    return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], -1)


def painted(share, ink=BLACK, paper=WHITE):
    return opaque(share[..., None] * np.array(ink) + (1 - share[..., None]) * np.array(paper))


def transparent(share, ink):
    color = np.broadcast_to(np.array(ink, np.uint8), (*share.shape, 3))
    return np.concatenate([color, (share * 255).round().astype(np.uint8)[..., None]], -1)


def photo(share, noise=6.0, ink=(40, 40, 70), seed=0, shade=1.0):
    """Off-white paper in falling light, with noise."""
    height, width = share.shape
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    light = 1 - shade * (0.45 * x + 0.15 * y + 0.25 * ((x - 0.3) ** 2 + (y - 0.4) ** 2))
    flat = painted(share, ink, (235, 228, 205))[..., :3] * light[..., None]
    return opaque(flat + np.random.default_rng(seed).normal(0, noise, flat.shape))


def card(share, ink, paper):
    rgba = painted(share, ink, paper)
    corners = Image.new("L", share.shape[::-1], 0)
    box = [0, 0, share.shape[1] - 1, share.shape[0] - 1]
    ImageDraw.Draw(corners).rounded_rectangle(box, min(share.shape) // 4, fill=255)
    rgba[..., 3] = np.asarray(corners)
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def dusty(share):
    rgba = painted(share)
    rgba[np.random.default_rng(0).random(share.shape) < 0.002] = (0, 0, 0, 255)
    return rgba


def on_a_task_provider(share):
    rgba = photo(share, shade=0.4)
    rgba[:, :60, :3], rgba[-30:, :, :3] = (60, 40, 30), (70, 45, 30)
    return rgba


def cut(rgba):
    """Cut to the strokes' box."""
    rows, columns = (np.flatnonzero((rgba[..., 0] < 128).any(axis)) for axis in (1, 0))
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def framed(share, width=5, slant=0.0):
    """In the cell of a form, which is drawn by hand if it is slanted."""
    rgba = Image.fromarray(painted(share)[..., :3])
    draw, (w, h) = ImageDraw.Draw(rgba), rgba.size
    corners = [(0.05, 0.06), (0.94, 0.06 + slant), (0.95 - slant, 0.95), (0.05 + slant, 0.94)]
    points = [(x * w, y * h) for x, y in [*corners, corners[0]]]
    draw.line(points, BLACK, width, joint="curve")
    return opaque(np.asarray(rgba, np.float32))


def in_a_cell(share):
    """The lines of the cell run off the image."""
    rgba = painted(share)
    rgba[16:19, :, :3], rgba[-18:-15, :, :3] = 0, 0
    rgba[:, 20:23, :3], rgba[:, -15:-12, :3] = 0, 0
    return rgba


def on_a_sheet(share, table=(120, 80, 50), paper=WHITE):
    """A sheet with table on all sides."""
    rgb = painted(share, BLACK, paper)[..., :3]
    height, width = share.shape
    around = np.random.default_rng(0).normal(table, 5, (height * 3 // 2, width * 8 // 5, 3))
    around[height // 5 : height // 5 + height, width // 4 : width // 4 + width] = rgb
    return opaque(around)


def ruled(share, gray=120, both=False):
    rgba = painted(share)
    for start in range(13, share.shape[0], 40):
        rgba[start : start + 4, :, :3] = np.minimum(rgba[start : start + 4, :, :3], gray)
    for start in range(7, share.shape[1] if both else 0, 40):
        rgba[:, start : start + 4, :3] = np.minimum(rgba[:, start : start + 4, :3], gray)
    return rgba


def dark_edge(share):
    rgba = painted(share)
    rgba[:, :4, :3] = 10
    rgba[-5:, :, :3] = 30
    return rgba


def scan(shape):
    """1.7 cm on A4 at 300 dpi."""
    page = Image.new("RGB", (2480, 3508), "white")
    page.paste(Image.fromarray(painted(strokes(shape, (200, 200), 9))[..., :3]), (300, 400))
    return opaque(np.asarray(page, np.float32))


def shadowed(rgba, angle, offset, depth=0.5, seed=0):
    """A shadow with a hard edge, at an angle, and noise."""
    height, width = rgba.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    dark = x * np.cos(angle) + y * np.sin(angle) > offset
    rgb = (20 + 0.85 * rgba[..., :3]) * (1 - depth * dark[..., None])
    return opaque(rgb + np.random.default_rng(seed).normal(0, 3, rgb.shape))


SURROUNDED = {
    "frame": (lambda s: framed(strokes(s)), {"a frame"}),
    "bold frame": (lambda s: framed(strokes(s), 9), {"a frame"}),
    "frame by hand": (lambda s: framed(strokes(s), 6, 0.02), {"a frame"}),
    "frame of a small image": (
        lambda s: framed(strokes(s, (160, 160), 5, extent=0.6), 2),
        {"a frame"},
    ),
    "cell": (lambda s: in_a_cell(strokes(s)), {"lines along the edge"}),
    "edge of a scan": (lambda s: dark_edge(strokes(s)), {"lines along the edge"}),
    "table all round": (lambda s: on_a_sheet(strokes(s)), {"what surrounds the sheet"}),
    "gray table": (
        lambda s: on_a_sheet(strokes(s), (70, 70, 70), (240, 240, 230)),
        {"what surrounds the sheet"},
    ),
    "light table": (
        lambda s: on_a_sheet(strokes(s), (200, 180, 150)),
        {"what surrounds the sheet"},
    ),
    "table and frame": (
        lambda s: on_a_sheet(framed(strokes(s))[..., 0] / -255.0 + 1),
        {"what surrounds the sheet"},
    ),
    "lines": (lambda s: ruled(strokes(s, pen=9)), {"lines of the paper"}),
    "squares": (lambda s: ruled(strokes(s, pen=9), 120, True), {"lines of the paper"}),
    "a whole scan": (scan, set()),
    "a shadow across": (lambda s: shadowed(painted(strokes(s)), 0.4, 0.1), {"a shadow"}),
    "a shadow in a corner": (lambda s: shadowed(painted(strokes(s)), 2.3, 0.5), {"a shadow"}),
    "light in a corner": (lambda s: shadowed(painted(strokes(s)), 1.2, -0.6, 0.4), {"a shadow"}),
}


VARIANTS = {
    "hairline": lambda s: painted(strokes(s, pen=1.5)),
    "marker": lambda s: painted(strokes(s, pen=44)),
    "in a corner": lambda s: painted(strokes(s, pen=5, where=(0.2, 0.7), extent=0.25)),
    "white on black": lambda s: painted(strokes(s, pen=14), WHITE, BLACK),
    "red on yellow": lambda s: painted(strokes(s, pen=10), (220, 30, 20), (250, 230, 90)),
    "red on green as light": lambda s: painted(strokes(s), (200, 60, 60), (60, 125, 60)),
    "pale": lambda s: painted(strokes(s, pen=12), (215, 215, 215)),
    "28": lambda s: painted(strokes(s, (28, 28), 2.4)),
    "28 bold, white on black": lambda s: painted(strokes(s, (28, 28), 4), WHITE, BLACK),
    "28 cut to its box": lambda s: cut(painted(strokes(s, (28, 28), 2.4))),
    "dark on transparent": lambda s: transparent(strokes(s, (300, 500), 9), (10, 10, 60)),
    "white on transparent": lambda s: transparent(strokes(s, (300, 500), 9), WHITE),
    "card": lambda s: card(strokes(s, (300, 300), 9, extent=0.6), (10, 60, 10), (255, 250, 240)),
    "bold": lambda s: painted(strokes(s, (100, 100), 18, extent=0.75)),
    "photo": lambda s: photo(strokes(s, pen=9)),
    "noisy photo": lambda s: photo(strokes(s, pen=9), 18),
    "pencil photo": lambda s: photo(strokes(s, pen=5), 5, (140, 140, 140)),
    "faint photo": lambda s: photo(strokes(s, pen=5, extent=0.4), 7, (180, 175, 160), shade=0.3),
    "large photo": lambda s: photo(strokes(s, (1200, 900), 20, (0.4, 0.5), 0.5), 8),
    "dust": lambda s: dusty(strokes(s)),
    "table": lambda s: on_a_task_provider(strokes(s, pen=9, where=(0.55, 0.5), extent=0.6)),
}


def alike(one, other, slack):
    """The lesser share of one's ink that is within ``slack`` pixels of the other's."""
    shares = [
        (a & binary_dilation(b, np.ones((3, 3)), iterations=slack)).sum() / a.sum()
        for a, b in ((one, other), (other, one))
    ]
    return min(shares)


@pytest.fixture(scope="module")
def standard():
    return {shape: normalize(painted(strokes(shape))).strokes > 0 for shape in SHAPES}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_shape_is_the_same_image_however_it_was_made(variant, standard):
    for shape in SHAPES:
        found = normalize(VARIANTS[variant](shape)).strokes > 0
        match = {other: alike(found, standard[other], 2) for other in SHAPES}
        assert match[shape] > 0.92, f"{shape}: {match}"
        assert match[shape] - sorted(match.values())[-2] > 0.1, f"{shape}: {match}"


@pytest.mark.parametrize("name", SURROUNDED)
def test_what_lies_round_the_drawing_is_taken_out_and_named(name, standard):
    draw, removed = SURROUNDED[name]
    for shape in SHAPES:
        found = normalize(draw(shape))
        match = {other: alike(found.strokes > 0, standard[other], 3) for other in SHAPES}
        assert match[shape] > 0.9, f"{shape}: {match}, {found.removed}"
        assert set(found.removed) == removed


@pytest.mark.parametrize("margin", [0, 0.12, 0.25])
@pytest.mark.parametrize("kind", ["box", "box in a box", "plus", "three lines", "H", "window"])
def test_symbols_of_straight_lines_lose_nothing(kind, margin):
    side, image = 200, Image.new("RGB", (200, 200), "white")
    low, high, middle = side * margin, side - 1 - side * margin, side / 2
    draw, across, down = ImageDraw.Draw(image), [], []
    if "box" in kind or kind == "window":
        draw.rectangle((low, low, high, high), outline="black", width=10)
    if kind == "box in a box":
        draw.rectangle((80, 80, 120, 120), outline="black", width=10)
    across += [middle] if kind in ("plus", "H", "window") else []
    down += [middle] if kind in ("plus", "window") else []
    across += [low + 5, middle, high - 5] if kind == "three lines" else []
    down += [low + 5, high - 5] if kind == "H" else []
    for y in across:
        draw.line((low, y, high, y), "black", 10)
    for x in down:
        draw.line((x, low, x, high), "black", 10)
    found = normalize(opaque(np.asarray(image, np.float32)))
    assert found.removed == ()
    size = high - low + 1
    assert found.box == pytest.approx((low, low, low + size, low + size), abs=2)


@pytest.mark.parametrize("ink", [BLACK, (110, 110, 110)])
@pytest.mark.parametrize("shape", ["H", "theta"])
def test_bold_strokes_that_reach_the_border_are_no_shadow(shape, ink):
    found = normalize(cut(painted(strokes(shape, (200, 200), 36), ink)))
    assert found.removed == ()


def test_ink_may_cover_more_than_half_of_the_image(standard):
    for shape, pen, extent in (("theta", 24, 0.72), ("H", 28, 0.7)):
        bold = strokes(shape, (100, 100), pen, extent=extent)
        assert (bold > 0.5).mean() > 0.5
        for ink, paper in ((BLACK, WHITE), (WHITE, BLACK)):
            found = normalize(painted(bold, ink, paper)).strokes > 0
            assert alike(found, standard[shape], 3) > 0.92


@pytest.mark.parametrize("variant", ["hairline", "marker", "28", "large photo"])
def test_strokes_size_and_place_are_omniglots(variant):
    ink = normalize(VARIANTS[variant]("H")).strokes
    assert ink.shape == (105, 105)
    assert ink.dtype == np.uint8
    assert set(np.unique(ink)) == {0, 255}
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert height == pytest.approx(EXTENT, abs=1)
    assert width / height == pytest.approx(0.7, abs=0.07)
    assert (rows[0] + rows[-1]) / 2 == pytest.approx(CENTER[0], abs=1)
    assert (columns[0] + columns[-1]) / 2 == pytest.approx(CENTER[1], abs=1)
    # Across both legs, above the bar: two strokes of 5 pixels.
    leg = (ink[rows[0] + 10 : rows[0] + 25] > 0).sum(1) / 2
    assert np.median(leg) == pytest.approx(5, abs=0.5)


def test_what_was_found_is_told_in_the_images_own_pixels():
    found = normalize(painted(strokes("H", (1200, 800), 20, (0.3, 0.6), 0.5), WHITE, BLACK))
    # legs 400 long and 280 apart, round the point (360, 480) less half of the missing 0.3
    assert found.box == pytest.approx((150, 270, 450, 690), abs=5)
    assert found.stroke == pytest.approx(20, rel=0.2)
    assert found.polarity == "light on dark"
    assert normalize(painted(strokes("H"))).polarity == "dark on light"
    assert normalize(transparent(strokes("H"), WHITE)).polarity == "on transparent"


def test_a_solid_bar_on_transparent_is_ink_and_a_solid_card_with_a_image_is_paper():
    bar = np.zeros((200, 200, 4), np.uint8)
    bar[40:160, 90:110] = (200, 30, 30, 255)
    assert normalize(bar).strokes.any(0).sum() == pytest.approx(5, abs=2)
    small = np.zeros((300, 300, 4), np.uint8)
    small[100:220, 100:220] = painted(strokes("H", (120, 120), 6), (0, 0, 90))
    assert normalize(small).polarity == "dark on light"
    assert (
        alike(normalize(small).strokes > 0, normalize(painted(strokes("H"))).strokes > 0, 2) > 0.97
    )


def test_dots_and_filled_parts_stay():
    rgba = painted(np.zeros((300, 300), np.float32))
    image = Image.fromarray(rgba)
    draw = ImageDraw.Draw(image)
    draw.line([(50, 250), (250, 250)], fill=BLACK, width=8)
    draw.ellipse([110, 60, 190, 140], fill=BLACK)
    filled = normalize(np.asarray(image)).strokes
    assert filled[35, 52] == 255  # the middle of the disc
    assert 15 <= (filled[:50] > 0).any(1).sum() <= 30
    one = Image.fromarray(rgba)
    ImageDraw.Draw(one).ellipse([200, 40, 212, 52], fill=BLACK)
    dot = normalize(np.asarray(one)).strokes
    assert (dot > 0).sum() == 21
    assert dot[50, 51] == 255


@pytest.mark.parametrize("kind", ["ellipse", "rectangle", "polygon"])
@pytest.mark.parametrize("side", [60, 240, 1200])
def test_a_filled_shape_is_the_same_as_its_outline(kind, side):
    corners = [(0.5, 0.15), (0.85, 0.75), (0.15, 0.75)] if kind == "polygon" else None
    where = [(x * side, y * side) for x, y in corners or [(0.2, 0.25), (0.8, 0.75)]]
    seen = []
    for fill in ("black", None):
        image = Image.new("RGB", (side, side), "white")
        getattr(ImageDraw.Draw(image), kind)(where, fill, "black", width=max(2, side // 40))
        seen.append(normalize(opaque(np.asarray(image, np.float32))).strokes > 0)
    assert alike(*seen, 2) > 0.9
    assert not seen[0][50, 52]  # it is hollow


def test_any_small_image_gives_a_image_or_says_that_there_is_none():
    rng = np.random.default_rng(0)
    drawn = 0
    for _ in range(80):
        height, width = rng.integers(1, 9, 2)
        rgba = rng.choice(np.array([0, 80, 255], np.uint8), (height, width, 4))
        try:
            drawn += bool(normalize(rgba).strokes.any())
        except NoForeground:
            continue
    assert drawn > 40
    with pytest.raises(ValueError, match="uint8"):
        normalize(np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("noise", [0.0, 2.0, 12.0])
def test_paper_alone_is_blank(noise):
    with pytest.raises(NoForeground):
        normalize(photo(np.zeros((400, 600), np.float32), noise))
    with pytest.raises(NoForeground, match="transparent"):
        normalize(np.zeros((20, 20, 4), np.uint8))


def two_levels(shape, where=(0.5, 0.5), pen=5.0, extent=0.6, side=105):
    """As Omniglot's files are: opaque, without gray."""
    return painted((strokes(shape, (side, side), pen, where, extent) > 0.5).astype(np.float32))


CONVENTION = {  # the image, and whether it keeps Omniglot's convention
    "as Omniglot": (lambda: two_levels("A", (0.43, 0.57)), True),
    "white on black": (
        lambda: 255 - two_levels("A", (0.43, 0.57)) // 255 * [255, 255, 255, 0],
        True,
    ),
    "a small one": (lambda: two_levels("A", (0.43, 0.57), extent=0.25), True),
    "gray levels": (lambda: painted(strokes("A", (105, 105), 5, (0.43, 0.57), 0.6)), False),
    "another size": (lambda: two_levels("A", (0.43, 0.57), side=106), False),
    "a bold pen": (lambda: two_levels("A", (0.43, 0.57), 12), False),
    "a hairline": (lambda: two_levels("A", (0.43, 0.57), 1.5), False),
    "in a corner": (lambda: two_levels("A", (0.2, 0.8), extent=0.3), False),
    "a speck": (lambda: two_levels("A", (0.43, 0.57), 3, 0.1), False),
    "transparent": (lambda: transparent(strokes("A", (105, 105), 5, (0.43, 0.57)), BLACK), False),
    "framed": (
        lambda: framed(two_levels("A", (0.43, 0.57), extent=0.5)[..., 0] / -255 + 1, 2),
        False,
    ),
}


@pytest.mark.parametrize("name", CONVENTION)
def test_only_an_image_that_keeps_omniglots_convention_keeps_its_size_and_place(name):
    draw, kept = CONVENTION[name]
    rgba = draw().astype(np.uint8)
    found = normalize(rgba)
    ink = rgba[..., 0] == (255 if name.startswith("white") else 0)
    assert np.array_equal(found.strokes > 0, ink) == kept
    if kept:
        rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
        assert found.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert found.stroke == pytest.approx(5, abs=1)


@pytest.mark.omniglot
def test_omniglots_own_files_are_not_changed_and_enlarged_ones_keep_their_shape(omniglot):
    from skimage.transform import resize

    chosen = omniglot.dataset.pixels[torch.arange(0, 19280, 241)].numpy()
    match, equal = [], []
    for image in chosen:
        equal.append(np.array_equal(normalize(painted(image / np.float32(255))).strokes, image))
        rows, columns = (np.flatnonzero(image.any(axis)) for axis in (1, 0))
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 255.0
        ink = normalize(painted(image.repeat(2, 0).repeat(2, 1) / np.float32(255))).strokes > 0
        rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
        found = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        match.append(alike(found, resize(box, found.shape, order=1) > 0.5, 1))
    assert np.mean(equal) > 0.97
    assert np.median(match) > 0.95
    assert np.mean(np.array(match) > 0.85) > 0.9
