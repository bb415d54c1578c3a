from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

Save = Callable[..., None]


def encoded(array: np.ndarray, suffix: str = ".png") -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, format={".png": "PNG", ".jpg": "JPEG"}[suffix])
    return buffer.getvalue()


@pytest.fixture
def save_folder() -> Save:
    """Writes pictures, given by relative name, below a folder or into a zip file."""

    def save(path: Path, pictures: dict[str, np.ndarray]) -> None:
        if path.suffix == ".zip":
            path.parent.mkdir(parents=True, exist_ok=True)
            with ZipFile(path, "w") as archive:
                for name, array in pictures.items():
                    archive.writestr(name, encoded(array, Path(name).suffix))
            return
        for name, array in pictures.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(encoded(array, Path(name).suffix))

    return save


@pytest.fixture(autouse=True)
def _no_shared_data(request, monkeypatch):
    """Only the tests of the real files see them."""
    if "real_data" not in request.fixturenames:
        monkeypatch.delenv("SIGMAE_DATA", raising=False)


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SIGMAE_CACHE", str(tmp_path / "cache"))
