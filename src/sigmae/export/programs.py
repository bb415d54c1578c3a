"""`torch.export` programs: the encoder and the decoder as graphs of torch itself, without the code that made them."""

import io
from pathlib import Path

import torch
from torch.export import Dim, export, ExportedProgram

from sigmae.errors import SigmaeError
from sigmae.export.inference import at_rest, Decoder, Encoder, example_of
from sigmae.files import write_bytes
from sigmae.model import Autoencoder


def encoder_program(model: Autoencoder) -> ExportedProgram:
    """The program from floats [batch, *shape], images in [0, 1], to the mean [batch, latent] of q(z|x)."""
    return program_of(model, Encoder)


def decoder_program(model: Autoencoder) -> ExportedProgram:
    """The program from codes [batch, latent] to the mean [batch, *shape] of p(x|z)."""
    return program_of(model, Decoder)


def write_programs(model: Autoencoder, folder: Path) -> list[Path]:
    """Write encoder.pt2 and decoder.pt2; returns their paths.

    `torch.export.load` reads them. It runs no code of ours, but trusts its file: load those of people you trust.
    """
    programs = {folder / "encoder.pt2": encoder_program(model), folder / "decoder.pt2": decoder_program(model)}
    for path, program in programs.items():
        content = io.BytesIO()
        torch.export.save(program, content)
        write_bytes(path, content.getvalue())
    return list(programs)


def program_of(model: Autoencoder, part: type[Encoder] | type[Decoder]) -> ExportedProgram:
    """A part of the model as a program for any batch size; raises `SigmaeError` where torch cannot trace it."""
    with at_rest(model):
        example = example_of(model, part)
        try:
            return export(part(model).eval(), (example,), dynamic_shapes=({0: Dim("batch")},))
        except Exception as error:  # a network of one's own can do whatever the tracer cannot follow
            reason = str(error).strip().partition("\n")[0]
            raise SigmaeError(f"torch cannot trace the {part.__name__.lower()}: {reason:.300}") from error
