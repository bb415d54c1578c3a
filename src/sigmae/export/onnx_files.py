"""ONNX: the encoder and the decoder as graphs that any of its runtimes runs, checked against torch."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from sigmae.errors import SigmaeError
from sigmae.export.inference import at_rest, Decoder, Encoder, example_of
from sigmae.files import write_bytes
from sigmae.model import Autoencoder

TOLERANCE = 1e-4
NAMES: dict[type[Encoder] | type[Decoder], tuple[str, str]] = {Encoder: ("x", "z"), Decoder: ("z", "x")}


def encoder_onnx(model: Autoencoder) -> bytes:
    """The graph from `x` [batch, *shape], floats and images in [0, 1], to the mean `z` [batch, latent] of q(z|x)."""
    return onnx_bytes(model, Encoder)


def decoder_onnx(model: Autoencoder) -> bytes:
    """The graph from `z` [batch, latent] to the mean `x` [batch, *shape] of p(x|z)."""
    return onnx_bytes(model, Decoder)


def write_onnx(model: Autoencoder, folder: Path) -> list[Path]:
    """Write encoder.onnx and decoder.onnx; returns their paths."""
    contents = {folder / "encoder.onnx": encoder_onnx(model), folder / "decoder.onnx": decoder_onnx(model)}
    for path, content in contents.items():
        write_bytes(path, content)
    return list(contents)


def onnx_bytes(model: Autoencoder, part: type[Encoder] | type[Decoder]) -> bytes:
    """A part of the model as a graph of any batch size in 32 bits.

    Raises `SigmaeError` where the exporter cannot follow a network, or where the runtime's outputs are further than
    1e-4 from torch's, for batches of one and of several.
    """
    with at_rest(model):
        module, example = part(model).eval(), example_of(model, part)
        content = traced(module, example, NAMES[part])
        for batch in (example, example[:1]):
            compare(content, batch, module(batch), part.__name__.lower())
    return content


def traced(module: torch.nn.Module, example: Tensor, names: tuple[str, str]) -> bytes:
    """The graph of a module, its batch left open."""
    try:
        import onnxscript  # noqa: F401  # torch's exporter needs it, and says so in many lines
    except ImportError as error:
        raise lacking() from error
    (given, returned) = names
    try:
        with silence():
            program = torch.onnx.export(
                module,
                (example,),
                input_names=[given],
                output_names=[returned],
                dynamic_shapes=({0: Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().partition("\n")[0]
        raise SigmaeError(f"torch cannot write the {type(module).__name__.lower()} as ONNX: {reason:.300}") from error
    content: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    return content


def compare(content: bytes, batch: Tensor, expected: Tensor, part: str) -> None:
    """Raise `SigmaeError` where the runtime's outputs are not those of torch."""
    try:
        outputs = run(content, batch)
    except SigmaeError:
        raise
    except Exception as error:  # the runtime raises classes of its own
        reason = str(error).strip().partition("\n")[0]
        raise SigmaeError(f"onnxruntime cannot run the graph of the {part}: {reason:.300}") from error
    worst = float(np.abs(outputs - expected.numpy()).max()) if outputs.shape == expected.shape else float("nan")
    if not worst <= TOLERANCE * max(1.0, float(expected.abs().max())):
        raise SigmaeError(
            f"The ONNX graph of the {part} gives shape {outputs.shape} and differs from torch by {worst:.2g}, more "
            f"than {TOLERANCE:g}: use another network, or --to torch-export."
        )


def run(content: bytes, batch: Tensor) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """What onnxruntime computes of a batch."""
    try:
        from onnxruntime import InferenceSession, SessionOptions
    except ImportError as error:
        raise lacking() from error
    options = SessionOptions()
    options.log_severity_level = 3
    session = InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    outputs: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(None, {given.name: batch.numpy()})[0]
    return outputs


def lacking() -> SigmaeError:
    """The error where what writes and checks graphs is not installed."""
    return SigmaeError("ONNX needs the extra export: pip install 'sigmae[export]'.")


@contextmanager
def silence() -> Iterator[None]:
    """Keep the exporter's remarks about itself from users."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
