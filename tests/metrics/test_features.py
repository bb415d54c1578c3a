import hashlib
import sys
import threading
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn, Tensor

from sigmae.data import Dataset, scaled, Split
from sigmae.errors import SigmaeError
from sigmae.metrics import extract, FEATURES, Features, fid, load_features, NamedFeatures, to_uint8
from sigmae.metrics.features import Classifier, inception_features, random_features, train_classifier


@pytest.fixture(scope="module")
def digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(bunch.images / 16 * 255).round().to(torch.uint8)[order, None]
    parts = Split(images, torch.from_numpy(bunch.target).long()[order])
    return Dataset("digits", parts[:1400], parts[1400:1600], parts[1600:])


@pytest.fixture(scope="module")
def digit_features(digits, tmp_path_factory) -> dict[str, NamedFeatures]:
    """Features for digits by name; the classifier's after a training that is short, and long enough for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGMAE_CACHE", str(tmp_path_factory.mktemp("digit-features")))
        patch.setattr("sigmae.metrics.features.train_classifier", partial(train_classifier, steps=300))
        return {name: load_features(name, digits) for name in ("random", "classifier")}


def noisy(images: Tensor, deviation: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return to_uint8(scaled(images) + deviation * noise)


def blurred(images: Tensor, width: float) -> Tensor:
    line = torch.exp(-(torch.arange(-3, 4.0) ** 2) / (2 * width**2 + 1e-9))
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = nn.functional.pad(scaled(images), (3, 3, 3, 3))
    return to_uint8(nn.functional.conv2d(padded, kernel.expand(1, 1, 7, 7)))


def sums(images: Tensor) -> Tensor:
    return images.flatten(1).double().cumsum(1)


SUMS = NamedFeatures("sums", sums, {})


# extract


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_batches_do_not_matter(batch_size):
    images = torch.randint(256, (100, 3, 4, 5), dtype=torch.uint8)
    assert torch.equal(extract(SUMS, images, batch_size), sums(images))
    assert torch.equal(extract(SUMS, iter(images.split(33)), batch_size), sums(images))


def test_never_more_than_a_batch_is_given_at_once():
    seen = []
    features = NamedFeatures("seen", lambda images: seen.append(len(images)) or sums(images), {})
    extract(features, torch.zeros(60, 1, 2, 2, dtype=torch.uint8), batch_size=25)
    assert seen == [25, 25, 10]


def test_features_carry_no_gradient():
    weight = torch.ones(4, requires_grad=True)
    features = NamedFeatures("weighted", lambda images: images.flatten(1) * weight, {})
    assert not extract(features, torch.ones(3, 1, 2, 2, dtype=torch.uint8)).requires_grad


def test_no_images_are_refused():
    with pytest.raises(SigmaeError, match="no images"):
        extract(SUMS, [])


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), torch.zeros(2, 16, dtype=torch.uint8)])
def test_what_are_no_8_bit_images_is_refused(images):
    with pytest.raises(SigmaeError, match=r"uint8 images .* got torch\.(float32|uint8) \[2.*to_uint8"):
        extract(SUMS, iter([images]))


@pytest.mark.parametrize(
    "compute",
    [lambda images: images.float(), lambda images: images.flatten(1), lambda images: sums(images)[:1]],
    ids=["images", "integers", "one row"],
)
def test_features_of_another_form_are_refused(compute):
    class Odd:
        name = "odd"

        def __call__(self, images):
            return compute(images)

    with pytest.raises(SigmaeError, match=r"features 'odd' gave .* for 2 images"):
        extract(Odd(), torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


# random


def test_random_features_are_the_same_on_every_machine():
    assert random_features(1).details["fingerprint"].startswith("30877e9219ea5d05")
    assert random_features(3).details["fingerprint"] != random_features(1).details["fingerprint"]


def test_random_features_do_not_depend_on_or_disturb_the_global_generator():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    images = torch.randint(256, (4, 3, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    first = extract(random_features(3), images)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(extract(random_features(3), images), first)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 17, 40), (1, 1, 1)])
def test_random_features_take_any_size_and_channels(shape):
    images = torch.randint(256, (5, *shape), dtype=torch.uint8)
    values = extract(random_features(shape[0]), images)
    assert values.shape == (5, 256)
    assert values.isfinite().all()


def test_random_features_keep_their_scale_over_the_layers(digits):
    layers = extract(random_features(1), digits.train.images).std(0).split([32, 96, 128])
    scales = torch.stack([layer.mean() for layer in layers])
    assert scales.max() < 3 * scales.min()


@pytest.mark.parametrize(
    ("spoil", "steps"), [(noisy, [0, 0.05, 0.1, 0.2, 0.4]), (blurred, [0, 0.4, 0.6, 0.8, 1.2])], ids=["noise", "blur"]
)
@pytest.mark.parametrize("name", ["random", "classifier"])
def test_the_distance_grows_as_images_get_worse(digits, digit_features, name, spoil, steps):
    features = digit_features[name]
    real, held_out = digits.train.images[:700], digits.train.images[700:]
    distances = [fid(real=real, generated=spoil(held_out, step), features=features) for step in steps]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


@pytest.mark.parametrize("name", ["random", "classifier"])
def test_the_distance_grows_as_modes_are_dropped(digits, digit_features, name):
    features = digit_features[name]
    real, held_out = digits.train.images[:700], digits.train[torch.arange(700, 1400)]
    kept = [held_out.images[held_out.labels < modes] for modes in (10, 7, 4, 1)]
    distances = [fid(real=real, generated=images, features=features) for images in kept]
    assert distances == sorted(distances)
    assert distances[-1] > 5 * distances[0]


# classifier


def cache_file() -> Path:
    from sigmae.files import cache_folder

    (path,) = cache_folder("features").glob("classifier-*.safetensors")
    return path


@pytest.fixture
def short_training(monkeypatch, tmp_path):
    """An empty cache, and a training of few steps; returns the list of trainings that took place."""
    trainings = []

    def train(images, targets, **options):
        trainings.append(len(images))
        return train_classifier(images, targets, steps=5, **options)

    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("sigmae.metrics.features.train_classifier", train)
    return trainings


def test_classifier_tells_held_out_digits_apart(digits, digit_features):
    features = digit_features["classifier"]
    assert features.name == "classifier"
    assert features.details["accuracy"] > 0.96
    assert extract(features, digits.test.images).shape == (len(digits.test), 128)


def test_the_accuracy_is_that_of_the_validation_split(digits, short_training, monkeypatch):
    class Constant(Classifier):
        def forward(self, images):
            return torch.nn.functional.one_hot(torch.full((len(images),), 2), self.head[1].out_features).float()

    monkeypatch.setattr(
        "sigmae.metrics.features.train_classifier", lambda images, targets, device: Constant((1, 8, 8), 10)
    )
    labels = digits.train.labels * 3 - 4  # any integers are labels
    held_out = torch.tensor([2] * 30 + [5] * 60 + [999] * 110)
    data = replace(
        digits, train=Split(digits.train.images, labels), validation=Split(digits.validation.images, held_out)
    )
    assert load_features("classifier", data).details["accuracy"] == 30 / 200


def test_classifier_is_trained_once(digits, short_training):
    first, second = load_features("classifier", digits), load_features("classifier", digits)
    assert short_training == [1400]
    assert first.details == second.details
    images = digits.test.images
    assert torch.equal(extract(first, images), extract(second, images))


def test_classifier_is_the_same_when_trained_again(digits, short_training):
    torch.manual_seed(3)
    first = load_features("classifier", digits)
    cache_file().unlink()
    torch.manual_seed(4)
    state = torch.get_rng_state()
    assert load_features("classifier", digits).details == first.details
    assert torch.equal(torch.get_rng_state(), state)
    assert len(short_training) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text"])
def test_a_damaged_cache_is_made_again(digits, short_training, damage):
    first = load_features("classifier", digits)
    content = bytearray(cache_file().read_bytes())
    content[-1000] ^= 1
    damaged = {"cut": content[:-500], "flipped": content, "emptied": b"", "text": b"not tensors at all"}
    cache_file().write_bytes(damaged[damage])
    assert load_features("classifier", digits).details == first.details
    assert load_features("classifier", digits).details == first.details
    assert len(short_training) == 2


@pytest.mark.parametrize("what", ["an image", "a label", "a held-out label"])
def test_other_data_have_another_classifier(digits, short_training, what):
    load_features("classifier", digits)
    images, labels, held_out = (
        digits.train.images.clone(),
        digits.train.labels.clone(),
        digits.validation.labels.clone(),
    )
    {"an image": images[0, 0], "a label": labels, "a held-out label": held_out}[what][0] += 1
    load_features(
        "classifier", replace(digits, train=Split(images, labels), validation=Split(digits.validation.images, held_out))
    )
    assert len(short_training) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(digits, short_training, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "file"))
    assert extract(load_features("classifier", digits), digits.test.images[:2]).shape == (2, 128)


@pytest.mark.parametrize("name", ["random", "classifier"])
def test_features_move_images_to_their_device(digits, short_training, name):
    here = load_features(name, digits)
    elsewhere = load_features(name, digits, device="meta")
    values = elsewhere(digits.test.images[:3])
    assert values.device.type == "meta"
    assert values.shape == here(digits.test.images[:3]).shape
    assert elsewhere.details == here.details


def test_classifier_trains_under_no_grad(digits, short_training):
    with torch.no_grad():
        load_features("classifier", digits)
    assert short_training == [1400]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (4, 33, 70), (3, 128, 128)])
def test_classifier_takes_any_size_and_channels(shape):
    network = Classifier(shape, 5).eval()
    images = torch.rand(3, *shape)
    assert network(images).shape == (3, 5)
    assert network.hidden(images).shape == (3, 128)
    assert sum(weight.numel() for weight in network.parameters()) < 800_000


def test_classifier_needs_labels(digits):
    bare = Split(digits.train.images)
    for data in (replace(digits, train=bare), replace(digits, validation=Split(digits.validation.images))):
        with pytest.raises(SigmaeError, match=r"learn from labels, and digits has none.*'random'.*'inception'"):
            load_features("classifier", data)


def test_classifier_needs_two_classes(digits):
    data = replace(digits, train=Split(digits.train.images, torch.ones(1400, dtype=torch.int64)))
    with pytest.raises(SigmaeError, match=r"tell classes apart, and digits has one.*'random'"):
        load_features("classifier", data)


def test_classifier_learns_real_mnist(real_data):
    from sigmae.data import load

    data = load("mnist", data_dir=real_data)
    network = train_classifier(data.train.images, data.train.labels, steps=150)
    with torch.no_grad():
        told = network(scaled(data.test.images[:2000])).argmax(1)
    assert (told == data.test.labels[:2000]).double().mean() > 0.95


# inception


class Pooled(nn.Module):
    """In the form of the Inception file: 8-bit images of three channels, and a flag."""

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        means = images.float().mean(dim=[2, 3])
        if return_features:
            return means
        return means[:, :1]


@pytest.fixture(scope="module")
def network_file(tmp_path_factory) -> Path:
    import warnings

    path = tmp_path_factory.mktemp("network") / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(Pooled()).save(str(path))
    return path


@pytest.fixture
def tiny(network_file, monkeypatch, tmp_path):
    """`inception_features` for the tiny network: its own hash, an empty cache, and nowhere to fetch it from."""
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SIGMAE_INCEPTION", raising=False)
    sha256 = hashlib.sha256(network_file.read_bytes()).hexdigest()
    return partial(inception_features, sha256=sha256, url="http://127.0.0.1:9/tiny.pt")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder, and the address that serves it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def send_header(self, keyword, value):
            super().send_header(keyword, str(int(value) + 10) if keyword == "Content-Length" and cut else value)

    cut: list[bool] = []
    folder = tmp_path / "served"
    folder.mkdir()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=partial(http.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{http.server_port}", cut
    http.shutdown()
    http.server_close()
    thread.join()


def test_inception_gets_three_channels_and_returns_features(tiny, network_file):
    features = tiny(network_file)
    gray, colour = (torch.randint(256, (6, channels, 5, 5), dtype=torch.uint8) for channels in (1, 3))
    torch.testing.assert_close(extract(features, colour), colour.float().mean((2, 3)))
    torch.testing.assert_close(extract(features, gray), gray.float().mean((2, 3)).expand(-1, 3))
    assert features.name == "inception"
    assert features.details["fingerprint"] == hashlib.sha256(network_file.read_bytes()).hexdigest()


def test_inception_refuses_four_channels(tiny, network_file):
    with pytest.raises(SigmaeError, match="1 or 3 channels, and these images have 4"):
        extract(tiny(network_file), torch.zeros(2, 4, 5, 5, dtype=torch.uint8))


def test_inception_file_is_what_the_environment_names(tiny, network_file, monkeypatch):
    monkeypatch.setenv("SIGMAE_INCEPTION", str(network_file))
    assert tiny().name == "inception"


def test_inception_is_fetched_once(tiny, network_file, server):
    folder, address, _ = server
    (folder / "tiny.pt").write_bytes(network_file.read_bytes())
    images = torch.zeros(2, 3, 5, 5, dtype=torch.uint8)
    first = extract(tiny(url=f"{address}/tiny.pt"), images)
    (folder / "tiny.pt").unlink()
    assert torch.equal(extract(tiny(url=f"{address}/tiny.pt"), images), first)


@pytest.mark.parametrize("fault", ["absent", "cut"])
def test_a_failed_fetch_says_where_to_put_the_file(tiny, network_file, server, fault, tmp_path):
    folder, address, cut = server
    if fault == "cut":
        (folder / "tiny.pt").write_bytes(network_file.read_bytes())
        cut.append(True)
    with pytest.raises(SigmaeError, match=r"could not be fetched.*save tiny\.pt as .*SIGMAE_INCEPTION") as refusal:
        tiny(url=f"{address}/tiny.pt")
    assert str(tmp_path / "cache" / "features" / "tiny.pt") in str(refusal.value)
    assert not (tmp_path / "cache").exists()
    assert fault == "cut" or refusal.value.__cause__.fp.closed


def test_without_a_network_the_error_says_so(tiny):
    with pytest.raises(SigmaeError, match=r"could not be fetched from .*refused.*'classifier' or 'random'"):
        tiny()


@pytest.mark.parametrize("place", ["given", "environment", "cache", "fetched"])
def test_a_file_of_another_hash_is_not_loaded(tiny, network_file, server, place, monkeypatch, tmp_path):
    folder, address, _ = server
    content = network_file.read_bytes() + b" "
    places = {"cache": tmp_path / "cache/features/tiny.pt", "fetched": folder / "tiny.pt"}
    path = places.get(place, tmp_path / "other.pt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if place == "environment":
        monkeypatch.setenv("SIGMAE_INCEPTION", str(path))
    monkeypatch.setattr(torch.jit, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(SigmaeError, match=r"is not the Inception network.*it is code: it was not loaded"):
        tiny(path if place == "given" else None, url=f"{address}/tiny.pt")
    assert not list((tmp_path / "cache").rglob("*.pt")) or place == "cache"


@pytest.mark.parametrize("named_by", ["argument", "environment"])
def test_a_missing_file_is_named(tiny, monkeypatch, tmp_path, named_by):
    path = tmp_path / "nowhere.pt"
    if named_by == "environment":
        monkeypatch.setenv("SIGMAE_INCEPTION", str(path))
    with pytest.raises(SigmaeError, match=r"no file .*nowhere\.pt"):
        tiny(path if named_by == "argument" else None)


# load_features


def test_vectors_have_no_features():
    split = Split(torch.zeros(4, 7))
    for name in FEATURES:
        with pytest.raises(SigmaeError, match="Features are of images, and table holds vectors of 7 values"):
            load_features(name, Dataset("table", split, split, split))


def test_unknown_features_name_the_nearest(digits):
    with pytest.raises(SigmaeError, match=r"Unknown features 'incepton'\. Did you mean 'inception'"):
        load_features("incepton", digits)


def test_the_file_is_handed_to_inception(digits, tmp_path):
    with pytest.raises(SigmaeError, match=r"no file .*absent\.pt"):
        load_features("inception", digits, inception_file=tmp_path / "absent.pt")


THIRD_PARTY = """
import torch

def pixels(images):
    return images.flatten(1).float()

def scaled_pixels(dataset):
    def compute(images):
        return images.flatten(1).float() / dataset.train.images.max()
    return compute

class Named:
    name = "corner"
    details = {"fingerprint": "abc"}
    def __init__(self, dataset):
        self.count = len(dataset.train)
    def __call__(self, images):
        return images[:, :, :2, :2].flatten(1).double()

class Dropped(torch.nn.Module):
    def forward(self, images):
        return torch.nn.functional.dropout(images.flatten(1).float(), 0.5, self.training)

dropped = Dropped()
number = 3
"""


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    (tmp_path / "theirs.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("theirs", None)


def test_a_third_partys_features(digits, third_party):
    images = digits.test.images
    pixels = load_features("theirs:pixels", digits)
    assert isinstance(pixels, Features)
    assert (pixels.name, pixels.details) == ("theirs:pixels", {})
    assert torch.equal(extract(pixels, images), images.flatten(1).float())
    assert torch.equal(extract(load_features("theirs:dropped", digits), images), images.flatten(1).float())
    assert extract(load_features("theirs:scaled_pixels", digits), images).max() <= 1
    corner = load_features("theirs:Named", digits)
    assert (corner.name, corner.details) == ("corner", {"fingerprint": "abc"})
    assert extract(corner, images).shape == (len(images), 4)


def test_a_third_partys_mistakes(digits, third_party):
    with pytest.raises(SigmaeError, match="'theirs:number' cannot be called"):
        load_features("theirs:number", digits)
    with pytest.raises(SigmaeError, match="no attribute 'absent'"):
        load_features("theirs:absent", digits)
