import numpy as np
import pytest

from sigmae.data import chairs, load
from sigmae.errors import SigmaeError

CHAIRS, VIEWS = 5, 4


@pytest.fixture(autouse=True)
def _few_views(monkeypatch):
    assert chairs.VIEWS == 62
    monkeypatch.setattr(chairs, "VIEWS", VIEWS)


@pytest.fixture
def save_chairs(save_folder):
    def save(folder):
        renders = {
            f"{chair:032x}/renders/image_{view:03}_p020_t{view:03}_r096.png": rendering(chair * VIEWS + view)
            for chair in range(CHAIRS)
            for view in range(VIEWS)
        }
        save_folder(folder, renders)

    return save


def rendering(number):
    return np.full((12, 12, 3), number, np.uint8)


def values(data):
    return [split.images[:, 0, 0, 0].tolist() for split in (data.train, data.validation, data.test)]


@pytest.mark.parametrize("place", ["rendered_chairs", "chairs/rendered_chairs", "3DChairs", ""])
def test_all_renderings_in_three_fixed_splits(tmp_path, save_chairs, place):
    save_chairs(tmp_path / place)
    data = load("chairs", data_dir=tmp_path)
    assert (data.name, data.shape, data.train.labels) == ("chairs", (3, 64, 64), None)
    order = np.random.RandomState(0).permutation(CHAIRS * VIEWS).tolist()
    assert values(data) == [order[:16], order[16:18], order[18:]]


def test_what_lies_beside_the_renderings_is_left_out(tmp_path, save_chairs, save_folder):
    save_chairs(tmp_path / "chairs" / "rendered_chairs")
    others = ("overview.png", f"{0:032x}/icon.png", f"{0:032x}/masks/a.png", f"{0:032x}/renders/more/a.png")
    save_folder(tmp_path / "chairs" / "rendered_chairs", {name: rendering(255) for name in others})
    (tmp_path / "chairs" / "rendered_chairs" / "all_chair_names.mat").write_bytes(b"names")
    train, validation, test = values(load("chairs", data_dir=tmp_path))
    assert sorted(train + validation + test) == [*range(CHAIRS * VIEWS)]


def test_another_size_and_the_shared_folder(tmp_path, save_chairs, monkeypatch):
    save_chairs(tmp_path / "rendered_chairs")
    monkeypatch.setenv("SIGMAE_DATA", str(tmp_path))
    assert load("chairs", image_size=16).shape == (3, 16, 16)


def test_a_missing_folder_is_told(tmp_path):
    advice = r"3D Chairs is not downloaded .* the folder rendered_chairs, unpacked from rendered_chairs\.tar .*"
    with pytest.raises(SigmaeError, match=advice + "data/chairs, or name their folder"):
        load("chairs")
    (tmp_path / "rendered_chairs").mkdir()
    with pytest.raises(SigmaeError, match=advice + f"into {tmp_path}, or"):
        load("chairs", data_dir=tmp_path)


def test_a_folder_that_was_not_unpacked_whole_is_refused(tmp_path, save_chairs):
    save_chairs(tmp_path / "rendered_chairs")
    cut = tmp_path / "rendered_chairs" / f"{3:032x}"
    next((cut / "renders").iterdir()).unlink()
    with pytest.raises(SigmaeError, match=f"has not 4 pictures of 1 of 5 chairs, such as {cut.name} with 3: unpack"):
        load("chairs", data_dir=tmp_path)


def test_a_folder_without_renderings_is_refused(tmp_path):
    (tmp_path / "rendered_chairs" / "0" / "renders").mkdir(parents=True)
    with pytest.raises(SigmaeError, match="rendered_chairs has no example, too few"):
        load("chairs", data_dir=tmp_path)


def test_a_picture_that_was_cut_is_named(tmp_path, save_chairs):
    save_chairs(tmp_path / "rendered_chairs")
    picture = min((tmp_path / "rendered_chairs" / f"{2:032x}" / "renders").iterdir())
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(SigmaeError, match=f"{picture.name} cannot be read as a picture"):
        load("chairs", data_dir=tmp_path)
