"""The Hugging Face Hub's conventions: save_pretrained, from_pretrained, push_to_hub."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from sigmae.errors import one_line, SigmaeError
from sigmae.export.card import card, chosen_pictures
from sigmae.files import write_bytes, write_text
from sigmae.model import Autoencoder, load
from sigmae.report.record import read_record

FILES = ("config.json", "model.safetensors", "densities.safetensors")


def save_pretrained(
    model: Autoencoder, folder: str | Path, *, run: str | Path | None = None, name: str | None = None
) -> list[Path]:
    """Write the model's three files and README.md, its card; with a `run`, its pictures and numbers too.

    `name` is what the card calls it: the folder's name, if not given. Returns the files' paths.
    """
    folder = Path(folder)
    model.save(folder)
    assert model.config is not None  # or it had not been saved
    record = None if run is None else read_record(Path(run))
    pictures = {} if record is None else chosen_pictures(record)
    for path, content in pictures.items():
        write_bytes(folder / path, content)
    write_text(folder / "README.md", card(model.config, name or folder.resolve().name, record, [*pictures]))
    return [folder / path for path in (*FILES, "README.md", *pictures)]


def from_pretrained(
    name: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    trust: Sequence[str] | None = (),
) -> Autoencoder:
    """The model in a local folder, or of the hub's `owner/name`, of which three files are fetched and none is run.

    `trust` as for `sigmae.load`; the other arguments as for `huggingface_hub.snapshot_download`.
    """
    if Path(name).is_dir():
        return load(name, trust=trust)
    hub = client()
    try:
        folder = hub.snapshot_download(
            str(name),
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            allow_patterns=list(FILES),
        )
    except Exception as error:  # the hub's client raises its own errors and those of its transports
        raise SigmaeError(
            f"There is no folder '{name}', and the hub's model of that name cannot be fetched ({one_line(error)}): "
            "check the name and the network."
        ) from error
    return load(folder, trust=trust)


def push_to_hub(
    model: Autoencoder,
    name: str,
    *,
    run: str | Path | None = None,
    private: bool = False,
    token: str | None = None,
    message: str = "Upload by sigmae",
) -> str:
    """Upload what `save_pretrained` writes to the hub's `owner/name`, made if need be; returns its address."""
    hub = client()
    with TemporaryDirectory() as folder:
        save_pretrained(model, folder, run=run, name=name)
        try:
            api = hub.HfApi(token=token)
            address = str(api.create_repo(name, private=private, exist_ok=True))
            api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except Exception as error:  # as above
            raise SigmaeError(
                f"'{name}' could not be uploaded ({one_line(error)}): check the name, the token and the network."
            ) from error
    return address


def client() -> ModuleType:
    """The hub's own client, an extra."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise SigmaeError("The hub needs the extra hub: pip install 'sigmae[hub]'.") from error
    found: ModuleType = huggingface_hub
    return found
