import json
import sys
import types
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from sigmae.data import load
from sigmae.errors import SigmaeError


def png(value):
    buffer = BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def table(numbers, names=None, labels=None, struct=True, image="image"):
    cells = [{"bytes": png(number), "path": None} for number in numbers] if struct else [png(n) for n in numbers]
    columns = {image: cells, "caption": ["text"] * len(numbers)}
    if labels is not None:
        columns["label"] = labels
    result = pa.table(columns)
    features = {"label": {"names": names, "_type": "ClassLabel"}} if names else {}
    return result.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


class Hub:
    """In the place of the hub's client: repositories of parquet files by branch and name."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}

    def list_repo_files(self, repository, *, repo_type, revision="main"):
        assert repo_type == "dataset"
        if repository != "owner/name":
            raise ConnectionError("no route to the hub")
        return ["README.md", *self.files.get(revision, {})]

    def hf_hub_download(self, repository, file, *, repo_type, revision):
        assert (repository, repo_type) == ("owner/name", "dataset")
        path = self.folder / file.replace("/", "_")
        pyarrow.parquet.write_table(self.files[revision][file], path)
        return str(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    fake, module = Hub(tmp_path), types.ModuleType("huggingface_hub")
    module.list_repo_files, module.hf_hub_download = fake.list_repo_files, fake.hf_hub_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return fake


def numbers(split):
    return split.images[:, 0, 0, 0].tolist()


def test_train_and_test_files_are_the_splits(hub):
    hub.files["main"] = {
        "data/train-00000-of-00002.parquet": table(range(10), ["cat", "dog"], [n % 2 for n in range(10)]),
        "data/train-00001-of-00002.parquet": table(range(10, 20), ["cat", "dog"], [n % 2 for n in range(10)]),
        "data/test-00000-of-00001.parquet": table(range(100, 106), ["cat", "dog"], [n % 2 for n in range(6)]),
    }
    data = load("hf:owner/name")
    assert (data.name, data.shape, data.label_names) == ("owner/name", (3, 8, 8), ("cat", "dog"))
    assert sorted(numbers(data.train) + numbers(data.validation)) == list(range(20))
    assert sorted(numbers(data.test)) == list(range(100, 106))
    for split in (data.train, data.validation, data.test):
        assert split.labels.tolist() == [number % 2 for number in numbers(split)]


def test_a_single_file_is_divided_and_labels_need_no_names(hub):
    hub.files["main"] = {"everything.parquet": table(range(12), labels=list(range(12)), struct=False, image="img")}
    data = load("hf:owner/name")
    assert (len(data.train), len(data.validation), len(data.test)) == (10, 1, 1)
    assert data.label_names == tuple(map(str, range(12)))
    assert data.train.labels.tolist() == numbers(data.train)


def test_hidden_labels_are_left_out(hub):
    hub.files["main"] = {"train.parquet": table(range(10), ["a", "b"], [-1] * 10)}
    assert load("hf:owner/name").train.labels is None


def test_the_converted_branch_and_configurations(hub):
    hub.files["refs/convert/parquet"] = {
        "small/train/0000.parquet": table(range(5)),
        "large/train/0000.parquet": table(range(50)),
        "large/validation/0000.parquet": table(range(60, 65)),
        "large/test/0000.parquet": table(range(70, 77)),
    }
    data = load("hf:owner/name/large", image_size=4)
    assert (len(data.train), len(data.validation), len(data.test)) == (50, 5, 7)
    assert data.shape == (3, 4, 4)
    assert len(load("hf:owner/name/small").train) == 3
    with pytest.raises(SigmaeError, match=r"Unknown configuration of hf:owner/name 'default'.*There is: large, small"):
        load("hf:owner/name")


def test_a_configuration_may_be_called_after_a_split(hub):
    hub.files["main"] = {"train-clean/train/0.parquet": table(range(10)), "train-clean/test/0.parquet": table(range(4))}
    assert len(load("hf:owner/name").test) == 4


def test_split_folders_are_no_configurations(hub):
    hub.files["main"] = {"train/0.parquet": table(range(10)), "test/0.parquet": table(range(20, 24))}
    assert sorted(numbers(load("hf:owner/name").test)) == [20, 21, 22, 23]


@pytest.mark.parametrize(
    ("files", "name", "sentence"),
    [
        ({}, "owner/name", "has no parquet files"),
        ({"train.parquet": pa.table({"text": ["a"]})}, "owner/name", "has the columns text, and no pictures"),
        ({}, "owner/other", r"hf:owner/other cannot be fetched \(ConnectionError: no route to the hub\)"),
        ({}, "owner", "write hf:owner/name"),
    ],
)
def test_what_cannot_be_loaded_gets_a_sentence(hub, files, name, sentence):
    hub.files["main"] = files
    with pytest.raises(SigmaeError, match=sentence):
        load(f"hf:{name}")


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SigmaeError, match=r"needs the extra hub: pip install 'sigmae\[hub\]'"):
        load("hf:owner/name")
