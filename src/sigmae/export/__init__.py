"""Export: a trained model as files that other programs run, or that other people find."""

from sigmae.export.folder import export_run, FORMATS
from sigmae.export.hub import from_pretrained, push_to_hub, save_pretrained
from sigmae.export.inference import Decoder, Encoder
from sigmae.export.onnx_files import decoder_onnx, encoder_onnx, write_onnx
from sigmae.export.programs import decoder_program, encoder_program, write_programs

__all__ = [
    "FORMATS",
    "Decoder",
    "Encoder",
    "decoder_onnx",
    "decoder_program",
    "encoder_onnx",
    "encoder_program",
    "export_run",
    "from_pretrained",
    "push_to_hub",
    "save_pretrained",
    "write_onnx",
    "write_programs",
]
