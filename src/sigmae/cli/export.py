"""The verb that hands a model on: export."""

from pathlib import Path
from typing import Annotated, Literal

from sigmae.cli.app import app, examples, Many


@app.command(
    help_epilogue=examples(
        {
            "sigmae export runs/digits --to onnx --out exported": "Graphs for any ONNX runtime.",
            "sigmae export runs/digits --to hub --push OWNER/NAME": "A model card, and an upload.",
        }
    )
)
def export(
    run: Path,
    /,
    *,
    to: Literal["onnx", "safetensors", "torch-export", "hub"] | None = None,
    out: Path | None = None,
    push: str | None = None,
    trust: Annotated[list[str] | None, Many] = None,
) -> None:
    """Write a run's model for other programs and other people.

    - `onnx`: encoder.onnx and decoder.onnx, compared with torch in onnxruntime.
    - `torch-export`: encoder.pt2 and decoder.pt2, for torch.export.load.
    - `safetensors`: what sigmae.load reads.
    - `hub`: the same with a model card, README.md, that has the report's pictures and numbers.

    Parameters
    ----------
    run
        A run's folder.
    to
        The form; it has to be said.
    out
        The folder to write; the form's name in the run's folder if not given.
    push
        With --to hub: upload to OWNER/NAME of the Hugging Face Hub, too, with the token that its own tools keep.
    trust
        A module outside this library that the run may import.
    """
    from sigmae.errors import SigmaeError
    from sigmae.export import export_run, FORMATS, push_to_hub
    from sigmae.runs import load_run

    if to is None:
        raise SigmaeError(f"The form is missing: say it with --to, one of {', '.join(FORMATS)}.")
    if push is not None and to != "hub":
        raise SigmaeError(f"--push uploads what --to hub writes, and not {to}: leave it out, or say --to hub.")
    model = load_run(run, trust=trust or ())
    for path in export_run(model, run, to, out or run / to):
        print(path)
    if push is not None:
        print(push_to_hub(model, push, run=run))
