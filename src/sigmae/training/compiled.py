"""torch.compile for the training step: forward pass and loss as generated code, and so their backward pass.

Hooks, optimizer, opponents and validation stay as they are. Noise is drawn by torch's own generators in the order in
which it would be drawn anyway, so that a compiled run follows one that is not compiled up to rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from sigmae.errors import SigmaeError
from sigmae.machine import is_out_of_memory
from sigmae.parts import Part


def compiled(module: nn.Module, device: torch.device, parts: Sequence[Part], backend: str = "inductor") -> nn.Module:
    """`module` by torch.compile, for batches of one size; the weights stay those of `module`, under its names.

    What torch compiled before in this process is forgotten: there is a limit to how often it compiles the same
    function, beyond which it silently stops to, and the runs of a study share their functions.
    """
    torch.compiler.reset()
    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": uses_graphs(device, parts)}
    own = options if backend == "inductor" else None  # the others know no such options, and draw so anyway
    wrapped = torch.compile(module, dynamic=False, backend=backend, options=own)
    assert isinstance(wrapped, nn.Module)
    return wrapped


def uses_graphs(device: torch.device, parts: Sequence[Part]) -> bool:
    """Whether a step's kernels are recorded once and launched as one CUDA graph: on CUDA, where parts admit it.

    A graph's results lie where those of the next step will, so that nothing computed within a step may be needed in
    a later one, or by an opponent. Written to torch's documentation, and not yet run on a GPU.
    """
    acts = any(part.acts_in_steps or part.opponent() is not None for part in parts)
    return device.type == "cuda" and not acts


@contextmanager
def failures_explained() -> Iterator[None]:
    """Say what to do where torch.compile fails, which it does when a step is first made."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error) or isinstance(error, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
            raise
        reason = str(getattr(error, "inner_exception", error)).partition("\n")[0]
        remedy = "Install one such as g++, or name it in CXX; or train" if "C++ compiler" in reason else "Train"
        raise SigmaeError(f"The training step cannot be compiled ({reason}). {remedy} without --compile.") from error
