"""Models of other tools are called by their names, and what is said to do with them works."""

from pathlib import Path

import pytest
import torch

from rsmtl.errors import ModelError
from rsmtl.models.checkpoint import load_model


class Doubling(torch.nn.Module):
    """Has one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((1,), 2.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image * self.weight


ONNX = bytes([0x08, 0x08, 0x12, 0x07]) + b"pytorch" + bytes([0x1A, 0x05]) + b"2.1.0"
"""How an ONNX file begins: its version, and who wrote it."""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (ONNX, "is an ONNX model, which is not read"),
        (b'{"type": "Feature", "properties": {"mlm:name": "m"}}', "is JSON: a text about a model"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (b"PK\x03\x04 cut short", "is a pickle in an archive"),
        (b"\x80\x04K\x01.", "is a pickle"),
        (b"", "is no safetensors file, or it is damaged"),
        (b"<html>not found</html>", "is no safetensors file, or it is damaged"),
    ],
)
def test_a_file_is_called_what_it_is(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"model\.bin {said}"):
        load_model(path)


def test_torchscript_is_told_from_other_archives(tmp_path: Path) -> None:
    script, state = tmp_path / "script.pt", tmp_path / "state.ckpt"
    torch.jit.trace(Doubling(), torch.ones(1, 1, 4, 4)).save(str(script))
    torch.save(Doubling().state_dict(), state)
    with pytest.raises(ModelError, match=r"script\.pt is TorchScript, .* open it with torch\.jit\.load"):
        load_model(script)
    with pytest.raises(ModelError, match=r"state\.ckpt is a pickle in an archive .* it was not opened"):
        load_model(state)


def test_an_exported_program_of_another_name_is_told_its_suffix(tmp_path: Path) -> None:
    path = tmp_path / "program.pt"
    torch.export.save(torch.export.export(Doubling(), (torch.ones(1, 1, 4, 4),)), path)
    with pytest.raises(ModelError, match=r"is an exported program: give it the suffix \.pt2"):
        load_model(path)
