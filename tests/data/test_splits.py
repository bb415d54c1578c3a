import pytest
import torch

from sigmae.data import Split
from sigmae.data.splits import divided, last_held_out, shuffled, three_ways, two_ways
from sigmae.errors import SigmaeError


@pytest.mark.promise("The same seed", "The splits of data sets are fixed: their hashes are those on record.")
def test_the_fixed_order_never_changes():
    assert shuffled(10).tolist() == [2, 8, 4, 9, 1, 6, 7, 3, 0, 5]


@pytest.mark.parametrize("seed", [0, 7])
def test_no_training_seed_changes_it(seed):
    torch.manual_seed(seed)
    assert shuffled(100).sort().values.tolist() == list(range(100))
    assert shuffled(100)[:3].tolist() == [26, 86, 2]


@pytest.mark.parametrize(
    ("count", "sizes"), [(3, (1, 1, 1)), (9, (7, 1, 1)), (10, (8, 1, 1)), (100, (80, 10, 10)), (1797, (1439, 179, 179))]
)
def test_three_ways_are_disjoint_and_whole(count, sizes):
    ways = three_ways(count, "x")
    assert tuple(map(len, ways)) == sizes
    assert torch.cat(ways).sort().values.tolist() == list(range(count))


@pytest.mark.parametrize(("count", "part", "held"), [(2, 10, 1), (100, 10, 10), (100, 5, 20)])
def test_two_ways_are_disjoint_and_whole(count, part, held):
    train, validation = two_ways(count, "x", part)
    assert len(validation) == held
    assert torch.cat([train, validation]).sort().values.tolist() == list(range(count))


@pytest.mark.parametrize(("count", "found"), [(0, "no example"), (1, "one example"), (2, "2 examples")])
def test_too_few_examples_are_refused(count, found):
    with pytest.raises(SigmaeError, match=f"photos has {found}, too few"):
        three_ways(count, "photos")


def test_one_example_to_train_on_is_refused():
    with pytest.raises(SigmaeError, match="photos has 1 examples to train on"):
        two_ways(1, "photos")


def test_divided_keeps_labels_beside_their_examples():
    values = torch.arange(20)
    data = divided("x", Split(values.float().view(-1, 1), values), ("a", "b"))
    for split in (data.train, data.validation, data.test):
        assert split.images[:, 0].tolist() == split.labels.tolist()
    assert (data.name, data.label_names) == ("x", ("a", "b"))


def test_last_held_out_keeps_the_official_order():
    train, test = Split(torch.arange(12.0).view(-1, 1)), Split(torch.arange(3.0).view(-1, 1))
    data = last_held_out("x", train, test, 6, ())
    assert data.validation.images.flatten().tolist() == [10, 11]
    assert data.train.images.flatten().tolist() == list(range(10))
    assert data.test is test
