from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from sigmae.data.pictures import check_memory, decode, opened, Picture, pixels, square
from sigmae.errors import SigmaeError


def picture(image, name="a.png", format="PNG", **options):
    buffer = BytesIO()
    image.save(buffer, format, **options)
    return Picture(name, buffer.getvalue)


def gray(array):
    return Image.fromarray(np.array(array, np.uint8))


def test_a_gray_picture_stays_one_channel_and_a_colour_one_three():
    values = np.random.RandomState(0).randint(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    colour = decode([picture(Image.fromarray(value)) for value in values], lambda image: image)
    assert np.array_equal(colour.numpy(), values.transpose(0, 3, 1, 2))
    single = decode([picture(Image.fromarray(value[..., 0])) for value in values], lambda image: image)
    assert np.array_equal(single.numpy()[:, 0], values[..., 0])


def test_palettes_become_colour():
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8)).quantize(2)
    assert image.mode == "P"
    assert pixels(opened(picture(image)))[:, 0].tolist() == [[255, 0], [0, 0], [0, 255]]


def test_binary_pictures_become_black_and_white():
    assert pixels(opened(picture(gray([[0, 255]]).convert("1")))).tolist() == [[[0, 255]]]


def test_transparency_is_laid_on_white():
    half = Image.fromarray(np.array([[[0, 0, 0, 0], [200, 100, 0, 255]]], np.uint8))
    assert pixels(opened(picture(half)))[:, 0].tolist() == [[255, 200], [255, 100], [255, 0]]
    shade = Image.new("LA", (2, 1), (7, 0))
    assert pixels(opened(picture(shade))).tolist() == [[[255, 255]]]
    keyed = picture(gray([[9, 200]]), transparency=9)
    assert pixels(opened(keyed)).tolist() == [[[255, 200]]]


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise for viewing
    array = np.zeros((16, 32), np.uint8)
    array[:, :16] = 255
    turned = pixels(opened(picture(gray(array), format="JPEG", exif=exif, quality=95)))
    assert turned.shape == (1, 32, 16)
    assert turned[0, :15].min() > 240
    assert turned[0, 17:].max() < 15


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_more_than_eight_bits_are_refused(mode):
    deep = Picture("deep.tif", picture(Image.new(mode, (2, 2)), format="TIFF").read)
    with pytest.raises(SigmaeError, match=r"deep.tif has more than 8 bits a pixel \(mode (I|F)"):
        opened(deep)


def test_what_is_cut_or_no_picture_is_named():
    whole = picture(gray(np.random.RandomState(0).randint(0, 256, (64, 64)))).read()
    for data in (whole[:100], whole[: len(whole) // 2], b"hello", b"", b"%!PS-Adobe-3.0 EPSF-3.0\n"):
        with pytest.raises(SigmaeError, match=r"bad\.png cannot be read as a picture"):
            opened(Picture("bad.png", lambda data=data: data))


def test_only_the_listed_formats_are_decoded():
    icon = picture(Image.new("RGB", (16, 16)), "icon.png", format="ICO")
    with pytest.raises(SigmaeError, match=r"icon\.png cannot be read as a picture .*cannot identify"):
        opened(icon)


def test_every_picture_is_looked_at():
    good = picture(gray(np.zeros((4, 4))))
    many = [good] * 100 + [Picture("bad.png", lambda: b"")] + [good] * 100
    with pytest.raises(SigmaeError, match=r"bad\.png"):
        decode(many, lambda image: image)


@pytest.mark.promise("Files of strangers", "What would inflate or decode past the stated bounds is refused.")
def test_a_decompression_bomb_is_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (12, 20):  # Pillow warns of the first, which is less than twice the limit, and refuses the second
        with pytest.raises(SigmaeError, match=r"bomb\.png is too large to decode safely"):
            decode([picture(gray(np.zeros((side, side))), "bomb.png")] * 3, lambda image: image)


def test_mixed_sizes_and_channels_name_two_files():
    first = picture(gray(np.zeros((4, 6))), "a.png")
    with pytest.raises(SigmaeError, match=r"a\.png is 6x4 and b\.png is 4x6: give image_size"):
        decode([first, first, picture(gray(np.zeros((6, 4))), "b.png")], lambda image: image)
    with pytest.raises(SigmaeError, match=r"a\.png is gray and c\.png is in colour"):
        decode([first, picture(Image.new("RGB", (6, 4)), "c.png")], lambda image: image)
    with pytest.raises(SigmaeError, match=r"a\.png is gray and c\.png is in colour"):
        decode([picture(Image.new("RGB", (6, 4)), "c.png"), first], lambda image: image)


def test_square_takes_the_centre():
    array = np.zeros((4, 8), np.uint8)
    array[:, 2:6] = 100
    assert pixels(square(gray(array), 4)).tolist() == np.full((1, 4, 4), 100).tolist()
    assert pixels(square(gray(array), 2)).tolist() == np.full((1, 2, 2), 100).tolist()
    assert pixels(square(gray(array.T), 4)).min() == 100


def test_progress_counts_to_the_end():
    seen = []
    decode([picture(gray(np.zeros((2, 2))))] * 70, lambda image: image, lambda *step: seen.append(step))
    assert seen == [(32, 70), (64, 70), (70, 70)]


@pytest.mark.promise(
    "The same seed",
    "The order of the data depends on no number of threads, workers or images at once, nor on how files are listed.",
)
def test_the_order_is_kept_by_the_threads():
    many = [picture(gray(np.full((2, 2), number % 256))) for number in range(300)]
    assert decode(many, lambda image: image)[:, 0, 0, 0].tolist() == [number % 256 for number in range(300)]


@pytest.mark.promise("Files of strangers", "What would inflate or decode past the stated bounds is refused.")
def test_memory_is_bounded():
    check_memory(1 << 10, (1, 1 << 12, 1 << 12))
    with pytest.raises(SigmaeError, match=r"1,000,000 images of \[3, 256, 256\] need 183.1 GiB"):
        check_memory(1_000_000, (3, 256, 256))


def test_the_result_is_an_ordinary_tensor():
    images = decode([picture(gray(np.zeros((2, 2))))] * 3, lambda image: image)
    assert (images.dtype, images.is_contiguous()) == (torch.uint8, True)
