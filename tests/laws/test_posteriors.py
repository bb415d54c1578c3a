"""Every posterior through the same properties."""

import pytest
import torch

from sigmae import Delta, DiagonalGaussian, FixedGaussian, SigmaeError

POSTERIORS = [Delta(), FixedGaussian(0.7), DiagonalGaussian()]


@pytest.mark.parametrize("posterior", POSTERIORS, ids=repr)
def test_shapes_moments_and_gradients(posterior):
    outputs = torch.randn(5, posterior.outputs(3), dtype=torch.float64, requires_grad=True)
    q = posterior(outputs)
    assert (q.batch_shape, q.event_shape) == ((5,), (3,))
    samples = q.rsample((20_000,))
    torch.testing.assert_close(samples.mean(0), q.mean, atol=0.05, rtol=0.05)
    torch.testing.assert_close(samples.var(0), q.variance, atol=0.1, rtol=0.1)
    (gradient,) = torch.autograd.grad(samples.square().sum(), outputs)
    assert gradient.isfinite().all()
    assert gradient.any()


@pytest.mark.parametrize("posterior", POSTERIORS, ids=repr)
def test_has_density_says_the_truth(posterior):
    q = posterior(torch.zeros(2, posterior.outputs(3)))
    if posterior.has_density:
        assert q.log_prob(q.mean).shape == (2,)
    else:
        with pytest.raises(NotImplementedError):
            q.log_prob(q.mean)


def test_diagonal_gaussian_reads_means_then_log_variances():
    q = DiagonalGaussian()(torch.tensor([[1.0, 2.0, 0.0, 4.0]]))
    torch.testing.assert_close(q.mean, torch.tensor([[1.0, 2.0]]))
    torch.testing.assert_close(q.variance, torch.tensor([[1.0, torch.e**4]]))


def test_a_fixed_gaussian_without_spread_is_refused():
    with pytest.raises(SigmaeError, match="use Delta"):
        FixedGaussian(0.0)
