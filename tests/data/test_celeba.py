import numpy as np
import pytest

from sigmae.data import load
from sigmae.errors import SigmaeError

COUNT = 10


def face(number):
    """178 x 218: the central 140 x 140 pixels have the number, all around is 255."""
    array = np.full((218, 178, 3), 255, np.uint8)
    array[39:179, 19:159] = number
    return array


def save_celeba(folder, save_folder, place, lines=None):
    name = place.removesuffix(".zip")
    inner = f"{name}/" if place.endswith(".zip") else ""
    save_folder(folder / place, {f"{inner}{number:06}.png": face(number) for number in range(COUNT)})
    lines = lines or [f"{number:06}.png {(0, 0, 0, 0, 0, 0, 1, 1, 2, 2)[number]}" for number in range(COUNT)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")


def values(split):
    return split.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("place", ["img_align_celeba", "img_align_celeba.zip"])
def test_the_official_partition_and_crop(tmp_path, save_folder, place):
    save_celeba(tmp_path / "celeba", save_folder, place)
    data = load("celeba", data_dir=tmp_path)
    assert (data.name, data.shape) == ("celeba", (3, 64, 64))
    assert (values(data.train), values(data.validation), values(data.test)) == ([*range(6)], [6, 7], [8, 9])
    for split in (data.train, data.validation, data.test):
        assert (split.images == split.images[:, :1, :1, :1]).all()  # not one pixel from outside the crop


def test_the_crop_is_exact(tmp_path, save_folder):
    save_celeba(tmp_path, save_folder, "img_align_celeba")
    array = np.random.RandomState(0).randint(0, 256, (218, 178, 3)).astype(np.uint8)
    save_folder(tmp_path / "img_align_celeba", {"000000.png": array})
    data = load("celeba", data_dir=tmp_path, image_size=140)
    assert np.array_equal(data.train.images[0].numpy(), array[39:179, 19:159].transpose(2, 0, 1))


def test_the_csv_form_of_the_partition(tmp_path, save_folder):
    save_celeba(tmp_path, save_folder, "img_align_celeba")
    text = (tmp_path / "list_eval_partition.txt").read_text().replace(" ", ",")
    (tmp_path / "list_eval_partition.txt").unlink()
    (tmp_path / "list_eval_partition.csv").write_text("image_id,partition\n" + text)
    assert len(load("celeba", data_dir=tmp_path).train) == 6


def test_missing_files_are_told(tmp_path):
    with pytest.raises(SigmaeError, match=r"not downloaded .*img_align_celeba\.zip .*list_eval_partition\.txt .*cache"):
        load("celeba")
    with pytest.raises(SigmaeError, match=f"into {tmp_path}, or"):
        load("celeba", data_dir=tmp_path)


def test_a_partition_that_does_not_fit_is_refused(tmp_path, save_folder):
    save_celeba(tmp_path, save_folder, "img_align_celeba", ["000000.png 3"])
    with pytest.raises(SigmaeError, match=r"the line '000000.png 3', not a picture and 0, 1 or 2"):
        load("celeba", data_dir=tmp_path)
    save_celeba(tmp_path, save_folder, "img_align_celeba", ["000000.png 0", "000098.png 1", "000099.png 2"])
    with pytest.raises(SigmaeError, match=r"2 pictures of .* are not there, such as 000098\.png"):
        load("celeba", data_dir=tmp_path)


def test_pictures_that_are_not_aligned_are_refused(tmp_path, save_folder):
    save_celeba(tmp_path, save_folder, "img_align_celeba")
    save_folder(tmp_path / "img_align_celeba", {"000003.png": np.zeros((64, 64, 3), np.uint8)})
    with pytest.raises(SigmaeError, match="64x64, not 178x218"):
        load("celeba", data_dir=tmp_path)
