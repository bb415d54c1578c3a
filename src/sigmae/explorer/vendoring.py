"""What runs a decoder in a page: two files of ONNX Runtime's npm package, vendored with the package or fetched once.

`python -m sigmae.explorer.vendoring` puts them into this package; the build of a wheel does the same.
"""

import gzip
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from sigmae.download import fetch
from sigmae.errors import SigmaeError
from sigmae.files import cache_folder, digest, write_bytes

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"
INTEGRITY = (  # npm's dist.integrity of that version, in hexadecimal
    "sha512:ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
    "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61"
)
REGISTRY, SETTING = "https://registry.npmjs.org", "npm_config_registry"
MODULE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
SHA256 = {
    MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
HOME = Path(__file__).parent / "vendor"


@dataclass(frozen=True)
class Runtime:
    """Both files, gzipped: the module that a page imports, and the WebAssembly that it starts."""

    module: bytes
    wasm: bytes


def runtime() -> Runtime:
    """The files that came with this package, else those of an earlier fetch, else fetched now."""
    cached = cache_folder("explorer", f"onnxruntime-web-{VERSION}")
    folder = next((place for place in (HOME, cached) if is_vendored(place)), None)
    folder = vendor(cached) if folder is None else folder
    return Runtime(checked(folder, MODULE), checked(folder, WASM))


def is_vendored(folder: Path) -> bool:
    """Whether a folder has both files."""
    return all(gzipped(folder, name).is_file() for name in SHA256)


def vendor(folder: Path) -> Path:
    """The folder with both files, which are fetched from npm's registry where it lacks one.

    The package has 33 MB, of which 4 are kept.
    """
    if is_vendored(folder):
        return folder
    path = folder / PACKAGE
    advice = (
        f"Set {SETTING} to a registry that you can reach, or save {PACKAGE} of npm's onnxruntime-web as {path}, "
        "and repeat the command."
    )
    fetch(path, INTEGRITY, [f"{registry().rstrip('/')}/onnxruntime-web/-"], advice)
    unpack(path, folder)
    path.unlink()
    return folder


def registry() -> str:
    """The address of npm's registry, or the one that npm's own setting names, in whatever case npm takes it."""
    return next((value for name, value in os.environ.items() if name.lower() == SETTING and value), REGISTRY)


def unpack(package: Path, folder: Path) -> None:
    """Take both files out of the npm package."""
    try:
        with tarfile.open(package) as archive:
            for name in SHA256:
                member = archive.extractfile(f"package/dist/{name}")
                content = b"" if member is None else member.read()
                refuse_another(content, name, package)
                write_bytes(gzipped(folder, name), gzip.compress(content, mtime=0))
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise SigmaeError(
            f"{package} is not the npm package onnxruntime-web {VERSION} ({error}): delete it."
        ) from error


def checked(folder: Path, name: str) -> bytes:
    """The gzipped content of a file that is known by its hash: it is code, and runs in the page."""
    path = gzipped(folder, name)
    content = path.read_bytes()
    try:
        refuse_another(gzip.decompress(content), name, path)
    except (OSError, EOFError, zlib.error) as error:
        raise SigmaeError(f"{path} is not a whole file: delete it, and repeat the command.") from error
    return content


def refuse_another(content: bytes, name: str, path: Path) -> None:
    """Refuse content that is not the file of that name."""
    if (found := digest(content)) != SHA256[name]:
        raise SigmaeError(
            f"{path} does not hold the {name} of version {VERSION}, since its SHA-256 begins {found[:12]} and not "
            f"{SHA256[name][:12]}, and it is code: delete it, and repeat the command."
        )


def gzipped(folder: Path, name: str) -> Path:
    """Where a file lies in a folder."""
    return folder / f"{name}.gz"


if __name__ == "__main__":
    print(vendor(HOME))
