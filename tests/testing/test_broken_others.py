"""Networks, metrics and data sets that are broken in one way each: the law of that name catches them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sigmae import Dataset, SigmaeError, Split
from sigmae.data import load
from sigmae.evaluation import Row
from sigmae.networks.mlp import mlp
from sigmae.seeds import generator
from sigmae.testing import (
    check_dataset,
    check_metric,
    check_network,
    dataset_checks,
    LawBroken,
    metric_checks,
    network_checks,
)
from sigmae.testing.metrics import small_stages
from sigmae.testing.trials import pictures

SMALL = ((1, 8, 8), (12,))


def changed(encoder=lambda encoder: encoder, decoder=lambda decoder: decoder):
    """A perceptron, its networks changed."""

    def network(*, shape, latent_dim, encoder_outputs, decoder_shape):
        sizes = {"latent_dim": latent_dim, "encoder_outputs": encoder_outputs, "decoder_shape": decoder_shape}
        made = mlp(shape=shape, **sizes, hidden=(8,), activation="tanh")
        return encoder(made[0]), decoder(made[1])

    return network


class Around(nn.Module):
    """Another module, and something done to its outputs or inputs."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Noisy(Around):
    def forward(self, x):
        outputs = self.inner(x)
        return outputs + torch.randn_like(outputs)


class Centred(Around):
    def forward(self, x):
        outputs = self.inner(x)
        return outputs - outputs.mean(0)


class InPlace(Around):
    def forward(self, x):
        return self.inner(x.mul_(2))


class Detached(Around):
    def forward(self, x):
        return self.inner(x.detach()).detach() + 0 * self.inner(x)


class Spare(Around):
    """Has a layer that it does not use."""

    def __init__(self, inner):
        super().__init__(inner)
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.inner(x)


class Counting(Around):
    """State in an attribute."""

    seen = 0

    def forward(self, x):
        self.seen += self.training
        return self.inner(x) * (1 + self.seen)


class Hidden(Around):
    """A layer in a list, which no state dict has."""

    def __init__(self, inner):
        super().__init__(inner)
        self.layers = [nn.Linear(8, 8)]

    def forward(self, x):
        return self.inner(x) + torch.stack([w.sum() for layer in self.layers for w in layer.parameters()]).sum()


class Single(Around):
    def forward(self, x):
        return self.inner(x).float()


class Stopped(Around):
    def forward(self, z):
        return self.inner(z) + self.inner(z.detach())


def refusing(**sizes):
    raise SigmaeError("This network is for nothing.")


def crashing(*, shape, **sizes):
    if len(shape) == 1:
        raise ValueError("too few axes")
    return changed()(shape=shape, **sizes)


def alone(**sizes):
    return changed()(**sizes)[0]


SAME = changed()(shape=(1, 8, 8), latent_dim=2, encoder_outputs=4, decoder_shape=(1, 8, 8))


def shared(**sizes):
    return SAME


def fixed(*, shape, latent_dim, encoder_outputs, decoder_shape):
    """Forgets that an encoder may say more than a mean."""
    return changed()(shape=shape, latent_dim=latent_dim, encoder_outputs=latent_dim, decoder_shape=decoder_shape)


NETWORKS = {
    "alone": (alone, "two_modules_are_returned", "return a tuple of an encoder and a decoder"),
    "shared": (shared, "two_modules_are_returned", "make a new one in every call"),
    "refusing": (refusing, "two_modules_are_returned", "give shapes= that it is for"),
    "crashing": (crashing, "sizes_are_kept", r"too few axes\) for examples of the shape \(12,\): raise a SigmaeError"),
    "fixed": (fixed, "sizes_are_kept", r"The encoder of fixed must return \(2,\) for each example, it returns \(1,\)"),
    "noisy": (changed(decoder=Noisy), "evaluation_is_of_each_example_alone", "the decoder of .* noise is for training"),
    "centred": (changed(Centred), "evaluation_is_of_each_example_alone", "when its examples come one by one"),
    "in place": (changed(InPlace), "evaluation_is_of_each_example_alone", "changes its inputs"),
    "detached": (changed(Detached), "every_weight_is_trained", "all gradients of the encoder .* are zero"),
    "spare": (changed(Spare), "every_weight_is_trained", "no gradient reaches layer.weight .* never be trained"),
    "counting": (changed(Counting), "the_state_is_all_there_is", "decides by more than its state dict"),
    "single": (changed(Single), "precision_follows_the_weights", "gives torch.float32 after .double"),
    "hidden": (changed(Hidden), "the_state_is_all_there_is", "decides by more than its state dict: keep layers in"),
    "stopped": (changed(decoder=Stopped), "derivatives_pass_through", "look for a detach"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(caught, name):
    network, law, sentence = NETWORKS[name]
    caught(network_checks(network, SMALL), law, sentence)


def test_a_network_that_is_whole():
    check_network(changed(), SMALL)
    check_network(crashing, SMALL[:1])


def row(value, of="codes", **others):
    return Row(**({"metric": "one", "of": of, "value": value, "unit": "", "count": 1, "protocol": "as it is"} | others))


def whole(stages):
    """The spread of a draw of the codes."""
    noise = torch.randn(3, generator=generator(stages.seed, "whole"))
    return [row(float(stages.codes("test").std() + noise.mean()))]


def drawing(stages):
    return [row(float(torch.rand(())))]


def two_or_one(stages, calls=[]):  # noqa: B006  # counts its calls
    calls.append(stages)
    return [row(1.0), row(2.0, "means")][: 1 + (len(calls) > 2)]


def moving(stages):
    stages.model.train()
    return whole(stages)


def training_on(stages):
    stages.model(stages.data.test.images[:4] / 255).loss.backward()
    return whole(stages)


def painting(stages):
    stages.data.test.images[0] += 1
    return whole(stages)


def unconverted(stages):
    made = row(1.0)
    object.__setattr__(made, "value", torch.ones(()))  # which the tests' checks of types would refuse
    return [made]


def refuses_all(stages):
    raise SigmaeError("This model has no ears.")


METRICS = [
    (lambda stages: {"spread": 1.0}, "it_measures_or_says_why_not", "return a list of sigmae.evaluation.Row"),
    (lambda stages: [1.0], "it_measures_or_says_why_not", "returns float"),
    (refuses_all, "it_measures_or_says_why_not", "no ears.*give stages= that it is for"),
    (unconverted, "rows_are_numbers_with_a_protocol", r"is a Tensor.*write float\(value\)"),
    (lambda stages: [row(float("nan"))], "rows_are_numbers_with_a_protocol", "is nan on plain pictures"),
    (lambda stages: [row(1.0, error=float("inf"))], "rows_are_numbers_with_a_protocol", "raise a SigmaeError where"),
    (lambda stages: [row(1.0, protocol="")], "rows_are_numbers_with_a_protocol", "the protocol of a row .* is ''"),
    (lambda stages: [row(1.0, count=0)], "rows_are_numbers_with_a_protocol", "has the count 0"),
    (lambda stages: [row(1.0), row(2.0)], "no_row_hides_another", "more than one row of one of codes"),
    (
        drawing,
        "the_same_seed_gives_the_same_rows",
        "one of codes of drawing changed when .* draw by sigmae.seeds.generator",
    ),
    (two_or_one, "the_same_seed_gives_the_same_rows", "the number of rows"),
    (moving, "model_and_data_are_left_as_they_are", "moving changes training mode: use what stages give"),
    (training_on, "model_and_data_are_left_as_they_are", "changes gradient.decoder"),
    (painting, "model_and_data_are_left_as_they_are", "changes test images"),
]


@pytest.mark.parametrize(("metric", "law", "sentence"), METRICS)
def test_metrics(caught, metric, law, sentence):
    untouched = pictures().test.images.clone()
    caught(metric_checks(metric), law, sentence)
    pictures().test.images.copy_(untouched)


def test_a_metric_that_is_whole():
    check_metric(whole)


def test_stages_of_ones_own_take_the_place_of_ours():
    check_metric("collapse", stages=lambda: small_stages()[:1])
    with pytest.raises(LawBroken, match=r"A deterministic encoder has no divergence .*: give stages="):
        check_metric("collapse", stages=lambda: small_stages()[1:])


IMAGES = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
SPLITS = {"train": Split(IMAGES[:40]), "validation": Split(IMAGES[40:50]), "test": Split(IMAGES[50:])}
KNOWN = torch.arange(10)


def steady():
    return IMAGES


def unsorted():
    return torch.rand(60, 1, 8, 8)


def sized(image_size=None):
    if image_size:
        raise SigmaeError("These come in one size.")
    return IMAGES


def shorter(calls=[]):  # noqa: B006  # counts its calls
    calls.append(1)
    return IMAGES if len(calls) % 2 else IMAGES.flip(0)


def own(**splits):
    return Dataset("own", **(SPLITS | splits))


def labelled(values, **names):
    splits = {name: replace(split, **values(len(split))) for name, split in SPLITS.items()}
    return replace(own(**splits), **names)


DATASETS = {
    "unsorted": (unsorted, "it_is_read_the_same_twice", "the train split of .*:unsorted differs in two readings"),
    "leaking": (
        own(test=SPLITS["train"][:5]),
        "splits_are_disjoint",
        "100% of the test examples of own are in its tra",
    ),
    "bright": (own(test=Split(2 * IMAGES[50:])), "values_are_those_of_pictures", "from .*: divide by"),
    "blank": (own(train=Split(IMAGES[:1].expand(40, 1, 8, 8))), "values_are_those_of_pictures", "are the same"),
    "infinite": (own(test=Split(IMAGES[50:] / 0)), "values_are_those_of_pictures", "NaN or infinity"),
    "half": (own(test=Split(IMAGES[50:], KNOWN)), "labels_have_names", "are known for 1 of 3 splits"),
    "unnamed": (
        labelled(lambda n: {"labels": torch.arange(n) % 3}, label_names=("a", "b")),
        "labels_have_names",
        "has the label 2 and 2 label_names",
    ),
    "negative": (labelled(lambda n: {"labels": torch.arange(n) - 1}), "labels_have_names", "below 0: count from 0"),
    "unsized": (
        labelled(lambda n: {"factors": torch.arange(n)[:, None]}, factor_names=("x",), factor_sizes=(3,)),
        "labels_have_names",
        r"factors up to \[39\], and factor_sizes \(3,\)",
    ),
    "nameless": (
        labelled(lambda n: {"factors": torch.arange(n)[:, None]}, factor_sizes=(40,)),
        "labels_have_names",
        "has 1 factors: give as many factor_names",
    ),
    "one size": (sized, "an_image_size_is_heeded", "cannot be had with an image_size of 12: These come in one size"),
    "shorter": (shorter, "a_limit_takes_the_first", "is not its first 50 examples"),
    "huge": (own(train=Split(3e38 * IMAGES[:40])), "a_model_trains_on_it", "raised SigmaeError .*Training stopped"),
}


@pytest.mark.parametrize("name", DATASETS)
def test_datasets(caught, name):
    source, law, sentence = DATASETS[name]
    checks = dataset_checks(source)
    law = next(known for known, _ in checks if known.startswith(law))
    caught(checks, law, sentence)


def test_a_data_set_that_is_whole():
    check_dataset(steady)
    check_dataset(f"{__name__}:steady")
    check_dataset(load("digits"))


def test_a_function_within_a_function_cannot_be_found_again():
    with pytest.raises(LawBroken, match="define it outside functions"):
        check_dataset(lambda: IMAGES)


def test_options_of_a_data_set_are_those_of_load():
    check_dataset("digits", image_size=10, without=["an_image_size_is_heeded"])
    with pytest.raises(SigmaeError, match="Did you mean 'splits_are_disjoint'"):
        check_dataset("digits", without=["splits_are_disjont"])
