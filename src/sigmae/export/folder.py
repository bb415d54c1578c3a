"""A trained model's folder in the form that is asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path

from sigmae.errors import SigmaeError, unknown
from sigmae.export.hub import FILES, save_pretrained
from sigmae.export.onnx_files import write_onnx
from sigmae.export.programs import write_programs
from sigmae.model import Autoencoder


def write_safetensors(model: Autoencoder, folder: Path) -> list[Path]:
    """Write what `sigmae.load` reads: config.json, model.safetensors and densities.safetensors."""
    model.save(folder)
    return [folder / name for name in FILES]


FORMATS: Mapping[str, Callable[[Autoencoder, Path], list[Path]]] = {
    "onnx": write_onnx,
    "safetensors": write_safetensors,
    "torch-export": write_programs,
    "hub": save_pretrained,
}


def export_run(model: Autoencoder, run: Path, to: str, folder: Path) -> list[Path]:
    """Write the model of a run into a folder as one of `FORMATS`; returns the files' paths.

    A run's own folder is refused, whose config.json says more than a model's.
    """
    if to not in FORMATS:
        raise unknown("format", to, FORMATS)
    if (folder / "metrics.jsonl").exists():
        raise SigmaeError(f"{folder} holds a run; nothing was overwritten: choose another --out.")
    return (
        save_pretrained(model, folder, run=run, name=run.resolve().name) if to == "hub" else FORMATS[to](model, folder)
    )
