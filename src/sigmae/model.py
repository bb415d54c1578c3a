"""The model: an encoder, a decoder and an objective; encode, decode, sample, interpolate, save, load."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import nn, Tensor
from torch.distributions import Distribution

from sigmae import __version__
from sigmae.config import make_objective, ModelConfig
from sigmae.conversion import as_json, structure
from sigmae.data import scaled
from sigmae.densities import density_from_tensors, density_tensors, Draw, fit_density, sample as sample_density
from sigmae.errors import SigmaeError
from sigmae.files import read_json, write_json
from sigmae.networks import build
from sigmae.objective import Objective, Terms
from sigmae.parts import Sizes
from sigmae.seeds import seeded
from sigmae.tensors import finite, load_tensors, save_tensors

DENSITY_NAME = re.compile(r"[\w-]{1,64}")


class Autoencoder(nn.Module):
    """An encoder and a decoder with the objective that trains them, and densities fitted to its encodings.

    `forward` is the training pass. All other methods are inference: evaluation mode, no gradients, in
    batches, means instead of samples; images come and go as floats in [0, 1] where the data were images.
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        objective: Objective,
        *,
        config: ModelConfig | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.objective = encoder, decoder, objective
        self.config = config
        objective.prepare(self, None if config is None else Sizes(tuple(config.shape), config.latent_dim))
        self.densities: dict[str, Distribution] = {}

    def forward(self, x: Float[Tensor, "batch *event"]) -> Terms:
        """The terms of the objective on a batch."""
        terms: Terms = self.objective(self, x)
        return terms

    @classmethod
    def build(
        cls,
        config: ModelConfig,
        *,
        objective: Objective | None = None,
        network: tuple[nn.Module, nn.Module] | None = None,
        trust: Sequence[str] | None = None,
    ) -> "Autoencoder":
        """A model with fresh weights, from its configuration; an objective or modules at hand are used as they are."""
        objective = objective or make_objective(config.objective, trust)
        if network is None:
            if config.network is None:
                raise SigmaeError("This model was made from one's own modules: pass network=(encoder, decoder) again.")
            network = build(
                config.network,
                shape=tuple(config.shape),
                latent_dim=config.latent_dim,
                encoder_outputs=objective.posterior.outputs(config.latent_dim),
                decoder_shape=objective.likelihood.decoder_shape(tuple(config.shape)),
                trust=trust,
            )
        encoder, decoder = network
        return cls(encoder, decoder, objective, config=config)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights, in which floats are read: after `model.double()`, 64 bits."""
        return next(self.parameters()).dtype

    def posterior(self, images: Any) -> Distribution:
        """q(z|x) of one batch of images, in the mode and with the gradients of the caller."""
        q: Distribution = self.objective.encode(self, self._inputs(self.as_batch(images).to(self.device)))
        return q

    def encode(self, images: Any, batch_size: int = 1000) -> Float[Tensor, "count latent"]:
        """The mean of q(z|x) of every image: array or tensor [count, *shape], uint8 or floats."""
        return self._infer(
            lambda x: self.objective.encode(self, self._inputs(x)).mean,
            self.as_batch(images),
            batch_size,
        )

    def decode(self, z: Any, batch_size: int = 1000) -> Float[Tensor, "count *shape"]:
        """The mean image of p(x|z) of every latent."""
        latents = torch.as_tensor(z, dtype=self.dtype)
        return self._infer(lambda part: self.objective.likelihood.mean(self.decoder(part)), latents, batch_size)

    def reconstruct(self, images: Any, batch_size: int = 1000) -> Float[Tensor, "count *shape"]:
        """Decode the means of the encodings."""
        return self.decode(self.encode(images, batch_size), batch_size)

    @property
    def default_density(self) -> str:
        """What is sampled if nothing is named: GMM-10 where it is fitted, the best for nearly every method."""
        return "gmm10" if "gmm10" in self.densities else self.own_density

    @property
    def own_density(self) -> str:
        """What the method itself samples: the prior that it matches, else a Gaussian fitted to the codes."""
        if self.objective.prior_scale != 1:
            return "scaled-prior"
        return "prior" if self.objective.matches_prior else "gaussian"

    def fit_density(
        self, name: str, encodings: Float[Tensor, "count latent"], *, seed: int = 0, draw: Draw | None = None
    ) -> Distribution:
        """Fit the density of that name to training encodings, and keep it with the model.

        A second-stage VAE is trained on what `draw` gives: pass `encoder_draws` of the same images, unless the
        encoder is deterministic.
        """
        scale = self.objective.prior_scale
        density = fit_density(name, encodings, seed=seed, draw=draw, prior_scale=scale, device=self.device)
        self.densities[name] = density
        return density

    def encoder_draws(self, images: Any, batch_size: int = 1000) -> Draw:
        """A function that draws z ~ q(z|x) of every image, afresh at each call; encoded once, when first called."""
        posterior = self.objective.posterior
        outputs = cache(lambda: self._infer(lambda x: self.encoder(self._inputs(x)), self.as_batch(images), batch_size))
        return lambda: self._infer(lambda part: posterior(part).sample(), outputs(), batch_size)

    def sample(self, count: int, *, density: str | None = None, seed: int = 0) -> Float[Tensor, "count *shape"]:
        """Decode `count` draws of a fitted density (default: `default_density`)."""
        return self.decode(self.sample_latents(count, density=density, seed=seed))

    def sample_latents(self, count: int, *, density: str | None = None, seed: int = 0) -> Float[Tensor, "count latent"]:
        """Draws of a fitted density."""
        name = density or self.default_density
        if name not in self.densities:
            known = ", ".join(self.densities) or "none"
            raise SigmaeError(
                f"The density '{name}' is not fitted (fitted: {known}): call "
                f"model.fit_density('{name}', model.encode(images)) with the training images."
            )
        return sample_density(self.densities[name], count, seed=seed)

    def interpolate(self, a: Any, b: Any, steps: int = 8) -> Float[Tensor, "..."]:
        """Decode the spherical path from the encodings of `a` to those of `b`, end points included.

        Single images give [steps, *shape]; batches [count, *shape] give [count, steps, *shape].
        """
        start, end = self.encode(a), self.encode(b)
        times = torch.linspace(0, 1, steps)
        path = torch.stack([slerp(start, end, t.expand(len(start))) for t in times], dim=1)
        images = self.decode(path.flatten(0, 1)).unflatten(0, (len(start), steps))
        single = self.config is not None and tuple(torch.as_tensor(a).shape) in layouts(tuple(self.config.shape))
        shown: Tensor = images[0] if single else images
        return shown

    def as_batch(self, images: Any) -> Tensor:
        """Images as a tensor [count, *shape], uint8 or floats as the weights; one image becomes a batch of one.

        Arrays may have their channels last, or leave a single channel out, as in `sigmae.data.load`.
        """
        x = torch.as_tensor(images)
        x = x if x.dtype == torch.uint8 else x.to(self.dtype)
        if self.config is None:
            return x
        shape = tuple(self.config.shape)
        batch = with_layout(x, shape)
        if batch is None:
            raise SigmaeError(f"This model reads images of shape {shape}, got an array of shape {tuple(x.shape)}.")
        if len(shape) == 3 and batch.is_floating_point() and batch.numel() and batch.max() > 1:
            raise SigmaeError(f"Images are uint8 or floats in [0, 1], got {batch.max():g}: divide by 255.")
        return batch

    def _inputs(self, images: Tensor) -> Tensor:
        return scaled(images).to(self.dtype)

    @torch.no_grad()
    def _infer(self, function: Callable[[Tensor], Tensor], inputs: Tensor, batch_size: int) -> Tensor:
        training = self.training
        self.eval()
        try:
            return torch.cat([function(part.to(self.device)).cpu() for part in inputs.split(batch_size)])
        finally:
            self.train(training)

    def save(self, folder: str | Path) -> None:
        """Write config.json, model.safetensors and densities.safetensors into a folder."""
        folder = Path(folder)
        if self.config is None:
            raise SigmaeError(
                "A model without a config cannot be rebuilt: give Autoencoder(..., config=ModelConfig(...))."
            )
        self.save_weights(folder)
        write_json(folder / "config.json", {"version": 1, "sigmae": __version__, "model": as_json(self.config)})

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write a folder as the Hugging Face Hub has it: `save`, and a model card; see `sigmae.export`."""
        from sigmae.export import save_pretrained

        save_pretrained(self, folder, **options)

    @classmethod
    def from_pretrained(cls, name: str | Path, **options: Any) -> "Autoencoder":
        """The model in a local folder, or of the hub's `owner/name`; see `sigmae.export.from_pretrained`."""
        from sigmae.export import from_pretrained

        return from_pretrained(name, **options)

    def push_to_hub(self, name: str, **options: Any) -> str:
        """Upload to the hub's `owner/name`; returns its address; see `sigmae.export.push_to_hub`."""
        from sigmae.export import push_to_hub

        return push_to_hub(self, name, **options)

    def _repr_html_(self) -> str:
        """What a notebook shows: parts and sizes, and samples where a density is fitted."""
        from sigmae import figures
        from sigmae.metrics.images import to_uint8
        from sigmae.report.notebook import model_html, SAMPLES

        config = None if self.config is None else as_json(self.config)
        name, weights = self.default_density, sum(weight.numel() for weight in self.parameters())
        shown = name in self.densities and self.config is not None and figures.can_be_shown(self.config.shape)
        pictures = figures.grid(to_uint8(self.sample(SAMPLES)), columns=SAMPLES) if shown else None
        return model_html(config, weights, pictures, name)

    def save_weights(self, folder: Path) -> None:
        """Write model.safetensors and densities.safetensors."""
        save_tensors(folder / "model.safetensors", self.state_dict())
        tensors = {
            f"{name}.{key}": tensor
            for name, density in self.densities.items()
            for key, tensor in density_tensors(density).items()
        }
        save_tensors(folder / "densities.safetensors", tensors, {"densities": list(self.densities)})


def load(folder: str | Path, *, trust: Sequence[str] | None = (), network: Any = None) -> Autoencoder:
    """The model in a folder that `Autoencoder.save` or a run wrote, in evaluation mode.

    Runs no code from the folder: parts and networks of a third party are imported only from modules named
    in `trust` (None trusts all, for one's own folders). A model of one's own modules needs them again as
    `network=(encoder, decoder)`.
    """
    folder = Path(folder)
    saved = read_json(folder / "config.json")
    own = saved.get("model") if isinstance(saved, dict) else saved
    config: ModelConfig = structure(own, ModelConfig, f"{folder / 'config.json'}")
    with seeded(0):  # the weights that it is made with are replaced, and no generator shall have moved
        model = Autoencoder.build(config, trust=trust, network=network)
    weights, _ = load_tensors(folder / "model.safetensors")
    try:
        own = {name: tensor.is_floating_point() for name, tensor in model.state_dict().items()}
        if strange := [name for name, tensor in weights.items() if tensor.is_floating_point() != own.get(name, True)]:
            raise RuntimeError(f"{strange[0]} is of another type")
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise SigmaeError(
            f"The weights in {folder} do not fit its config.json: one of them was edited ({error})."
        ) from error
    if not finite(model.parameters()):
        raise SigmaeError(
            f"The weights in {folder / 'model.safetensors'} hold NaN or infinity: the model has diverged; "
            "train it again with a lower learning rate."
        )
    if (folder / "densities.safetensors").exists():
        model.densities = load_densities(folder / "densities.safetensors", config.latent_dim)
    return model.eval()


def load_densities(path: Path, latent_dim: int) -> dict[str, Distribution]:
    """The fitted densities in a file by name, in the order in which they were fitted."""
    tensors, record = load_tensors(path)
    names: list[str] = structure(record.get("densities", []), list[str], str(path))
    groups: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    for key, tensor in tensors.items():
        name, _, rest = key.partition(".")
        groups.setdefault(name, {})[rest] = tensor
    if strange := [name for name in groups if not DENSITY_NAME.fullmatch(name)]:
        raise SigmaeError(
            f"{path} has a density named {strange[0]!r:.80}, and files of the run are named after it: "
            "a name is of up to 64 letters, digits, - and _."
        )
    densities = {name: density_from_tensors(group) for name, group in groups.items()}
    for name, density in densities.items():
        if density.event_shape != (latent_dim,):
            raise SigmaeError(
                f"The density {name} in {path} is of {density.event_shape[0]} latents, and the model has {latent_dim}: "
                "the file belongs to another run; delete it and repeat the sigmae train command."
            )
    return densities


Arrange = Callable[[Tensor], Tensor]


def layouts(shape: tuple[int, ...]) -> dict[tuple[int, ...], Arrange]:
    """The shapes in which one example may come, each with how it is brought to `shape`."""
    known: dict[tuple[int, ...], Arrange] = {shape: lambda x: x}
    if len(shape) == 3:
        channels, height, width = shape
        known.setdefault((height, width, channels), lambda x: x.movedim(-1, -3))
        if channels == 1:
            known[height, width] = lambda x: x.unsqueeze(-3)
    return known


def with_layout(x: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """`x` as [count, *shape], if it is one example or a batch of them in one of the `layouts`."""
    known = layouts(shape)
    if tuple(x.shape) in known:
        return known[tuple(x.shape)](x).unsqueeze(0)
    arrange = known.get(tuple(x.shape[1:]))
    return None if arrange is None else arrange(x)


def slerp(
    start: Float[Tensor, "count latent"], end: Float[Tensor, "count latent"], t: Float[Tensor, " count"]
) -> Float[Tensor, "count latent"]:
    """Spherical interpolation; the angle is that of the normalised vectors, their norms are kept.

    Falls back to a straight line where the vectors are parallel. Used alike by the RAE, UAE and AVAE authors.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=-1).clamp(-1, 1)
    angle = cosine.arccos().unsqueeze(-1)
    t = t.unsqueeze(-1)
    sine = angle.sin()
    curved = (((1 - t) * angle).sin() * start + (t * angle).sin() * end) / sine
    return torch.where(sine.abs() < 1e-6, torch.lerp(start, end, t), curved)
