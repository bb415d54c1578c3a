import re

import pytest

from sigmae import download
from sigmae.data import DATASETS, load, Whereabouts, whereabouts
from sigmae.data.dsprites import FILE as DSPRITES
from sigmae.data.idx import MD5
from sigmae.data.shapes3d import FILE as SHAPES3D
from sigmae.errors import SigmaeError

BUILT_IN = ("digits", "sprites")
BY_HAND = ("celeba", "omniglot", "chairs")
FILES = {
    "mnist": [*MD5["mnist"]],
    "fashion-mnist": [*MD5["fashion-mnist"]],
    "cifar10": ["cifar-10-binary.tar.gz"],
    "celeba": ["img_align_celeba.zip", "list_eval_partition.txt"],
    "omniglot": ["chardata.mat"],
    "dsprites": [DSPRITES],
    "dsprites-all": [DSPRITES],
    "shapes3d": [SHAPES3D],
    "shapes3d-all": [SHAPES3D],
}


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """Nothing may be fetched."""
    monkeypatch.delattr(download, "build_opener")


def put(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        (folder / file).write_bytes(b"never read")


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_nowhere_comes_with_advice(tmp_path, name):
    found = whereabouts(name)
    assert found.folder is None
    if name in BUILT_IN:
        assert found == Whereabouts(None, "")
        return
    place = re.escape(str(tmp_path / "cache" / "data" / name.removesuffix("-all")))
    assert re.search(rf"[Pp]ut .* into {place}, or .*data_dir \(--data-dir\)\.$", found.advice)
    assert ("will be downloaded" in found.advice) != (name in BY_HAND)
    assert all(file in found.advice for file in FILES.get(name, ["rendered_chairs.tar"]))


@pytest.mark.parametrize("name", FILES)
def test_files_are_found_and_not_read(tmp_path, name, monkeypatch):
    put(tmp_path / "here", FILES[name])
    assert whereabouts(name, tmp_path / "here") == Whereabouts(tmp_path / "here")
    plain = name.removesuffix("-all")
    put(tmp_path / "cache" / "data" / plain, FILES[name])
    assert whereabouts(name) == Whereabouts(tmp_path / "cache" / "data" / plain)
    put(tmp_path / "shared" / plain, FILES[name])
    monkeypatch.setenv("SIGMAE_DATA", str(tmp_path / "shared"))
    assert whereabouts(name) == Whereabouts(tmp_path / "shared" / plain)


def test_the_folder_of_the_chairs(tmp_path):
    chairs = tmp_path / "chairs" / "rendered_chairs"
    (chairs / "0" / "renders").mkdir(parents=True)
    assert whereabouts("chairs", str(tmp_path)) == Whereabouts(chairs)


@pytest.mark.parametrize("name", BY_HAND)
def test_the_advice_is_what_loading_tells(tmp_path, name):
    for place in (None, tmp_path):
        with pytest.raises(SigmaeError) as error:
            load(name, data_dir=place)
        assert str(error.value) == whereabouts(name, place).advice


def test_some_of_four_files_are_completed_only_among_the_downloads(tmp_path):
    kept = tmp_path / "cache" / "data" / "mnist"
    put(kept, FILES["mnist"][:3])
    assert whereabouts("mnist").folder is None
    put(tmp_path / "here", FILES["mnist"][:3])
    assert whereabouts("mnist", tmp_path / "here").folder == tmp_path / "here"
    put(kept, FILES["mnist"])
    assert whereabouts("mnist").folder == kept


@pytest.mark.promise(
    "Files of strangers", "Loading a model, a run, a data file or a study never runs code that the file holds."
)
def test_the_pickled_version_is_not_the_files(tmp_path):
    put(tmp_path, ["cifar-10-python.tar.gz"])
    found = whereabouts("cifar10", tmp_path)
    assert found.folder is None
    with pytest.raises(SigmaeError) as error:
        load("cifar10", data_dir=tmp_path)
    assert str(error.value) == found.advice


def test_what_cannot_be_asked_is_refused(tmp_path):
    with pytest.raises(SigmaeError, match=r"Unknown data set 'minst'. Did you mean 'mnist'\?"):
        whereabouts("minst")
    with pytest.raises(SigmaeError, match="There is no folder"):
        whereabouts("mnist", tmp_path / "nowhere")


@pytest.mark.slow
def test_the_real_files_are_found(real_data):
    assert whereabouts("mnist", real_data) == Whereabouts(real_data / "mnist")
    assert whereabouts("cifar10", real_data) == Whereabouts(real_data / "cifar10")
