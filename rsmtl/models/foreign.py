"""Files of other tools' models: what they are, and how their weights come in."""

import io
import zipfile

PICKLE_MARKS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How pickles begin; 0x80 as a first byte would be a safetensors header of another length than these files have."""

_WRAP = "wrap it with rsmtl.Model.from_module and a spec, and save it with rsmtl.models.save_checkpoint"


def foreign(data: bytes) -> str | None:
    """Return what a file is that no safetensors file begins like, with what to do about it; None if nobody knows.

    Parameters
    ----------
    data
        All of its bytes.
    """
    if data.startswith(b"PK\x03\x04"):
        return _archive(data)
    if data.startswith(PICKLE_MARKS):
        return (
            "is a pickle (as torch.save writes it), which can run any code when opened: it was not opened; train with "
            f"rsmtl, or, if you trust it, load its weights into the module yourself, {_WRAP}"
        )
    if data.startswith(b"\x89HDF\r\n"):
        return (
            f"is an HDF5 file (as Keras writes it), which is not read: build the module in PyTorch, {_WRAP}"
        )
    if data[:1] == b"\x08" and data[1:2] < b"\x20" and data[2:3] in (b"\x12", b"\x1a", b"\x3a"):
        return f"is an ONNX model, which is not read: build the module in PyTorch, load its weights, {_WRAP}"
    if data.lstrip()[:1] == b"{":
        return (
            "is JSON: a text about a model (as of STAC's MLM extension) and no weights; give the checkpoint that it "
            "names"
        )
    return None


def _archive(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError):
        names = set()
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        return (
            "is TorchScript, which can run any code when opened: it was not opened; if you trust it, open it with "
            f"torch.jit.load, {_WRAP}"
        )
    if "archive_format" in names:
        return "is an exported program: give it the suffix .pt2"
    return (
        "is a pickle in an archive (as torch.save and Lightning write it), which can run any code when opened: it was "
        f"not opened; train with rsmtl, or, if you trust it, load its weights into the module yourself, {_WRAP}"
    )
