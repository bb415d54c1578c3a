"""Layers that lay images out in memory give what torch's own give, and so do their derivatives of every kind."""

import torch
from torch import nn
from torch.func import grad, jvp, vmap
from torch.testing import assert_close

from sigmae.networks.layers import Flatten, Unflatten

SHAPE = (3, 4, 5)


def there_and_back(flatten, unflatten):
    """A function of values that no layout may change: images of them, and values of these again."""

    def apply(values):
        images = unflatten(values).sin()
        return (flatten(images) * torch.arange(60.0)).cos()

    return apply


OURS = there_and_back(Flatten(), Unflatten(1, SHAPE))
TORCHS = there_and_back(nn.Flatten(), nn.Unflatten(1, SHAPE))


def gradient_of(function):
    return grad(lambda values: function(values).square().sum())


def test_values_and_derivatives_are_those_of_torch():
    torch.manual_seed(0)
    values, tangent = torch.randn(2, 7, 60)
    assert_close(OURS(values), TORCHS(values), rtol=0, atol=0)
    assert_close(gradient_of(OURS)(values), gradient_of(TORCHS)(values))
    assert_close(jvp(OURS, (values,), (tangent,)), jvp(TORCHS, (values,), (tangent,)))
    twice = [
        grad(lambda values, f=function: gradient_of(f)(values).square().sum())(values) for function in (OURS, TORCHS)
    ]
    assert_close(*twice)
    several = torch.randn(3, 7, 60)
    assert_close(vmap(gradient_of(OURS))(several), vmap(gradient_of(TORCHS))(several))


def test_in_training_images_and_their_gradients_have_their_channels_last():
    values = torch.randn(7, 60, requires_grad=True)
    images = Unflatten(1, SHAPE)(values)
    assert images.is_contiguous(memory_format=torch.channels_last)
    seen = []
    images.register_hook(lambda gradient: seen.append(gradient.stride()))
    Flatten()(images).square().sum().backward()
    assert seen == [images.stride()]
    assert Unflatten(1, SHAPE)(values.detach()).is_contiguous()
