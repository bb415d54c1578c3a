"""What `sigmae train` proposes for pictures of one's own, where nothing is said, and why."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from statistics import median

from sigmae.config import RunConfig
from sigmae.data import DATASETS
from sigmae.data.folders import listed
from sigmae.data.pictures import FORMATS, Picture
from sigmae.networks import default_network
from sigmae.runs import read_run
from sigmae.settings import TrainingConfig, Unsaid

LOOKED_AT = 100  # pictures whose size is read
SIDES = (256, 128, 64, 32, 16)
LARGEST = {False: 64, True: 128}  # pixels a side, without and with an accelerator
STEPS = {False: 5_000, True: 20_000}
EXAMPLES = 20  # for each latent, so that a mixture of Gaussians can be fitted to the codes
FEWEST, MOST = 10, 500  # epochs


@dataclass(frozen=True)
class Choices:
    """What decides a run's size; `reasons` says, option by option, why what nobody said is as it is."""

    image_size: int | None
    network: str | None
    latent_dim: int
    training: TrainingConfig
    reasons: dict[str, str] = field(default_factory=dict)


def settled(choices: Choices, source: str, run: Path, limit: int | None, *, accelerated: bool) -> Choices:
    """The choices; for pictures of one's own with what is proposed, or was when the run in that folder began."""
    if not is_pictures(source):
        return choices
    if (run / "config.json").exists():
        return continued(choices, read_run(run))
    return proposed(choices, Path(source).expanduser(), limit, accelerated=accelerated)


def is_pictures(source: str) -> bool:
    """Whether the source is a folder or a zip file, and no data set's name."""
    if source in DATASETS:
        return False
    with suppress(OSError, ValueError):  # of a name that is none
        path = Path(source).expanduser()
        return path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file())
    return False


def continued(choices: Choices, config: RunConfig) -> Choices:
    """What was not said, as it is in the run that is continued."""
    training = choices.training
    for name in ("epochs", "batch_size"):
        if isinstance(getattr(training, name), Unsaid):
            training = replace(training, **{name: getattr(config.training, name)})
    network = config.model.network.name if config.model.network else None
    latent_dim = config.model.latent_dim if isinstance(choices.latent_dim, Unsaid) else choices.latent_dim
    return Choices(choices.image_size or config.data.image_size, choices.network or network, latent_dim, training)


def proposed(choices: Choices, source: Path, limit: int | None, *, accelerated: bool) -> Choices:
    """The choices, and where nothing was said what suits the pictures in a folder or zip and this machine."""
    with ExitStack() as stack:
        pictures = listed(source, stack)
        sizes, colours = sizes_of(pictures)
    if not sizes:
        return choices  # loading them will say what is wrong
    reasons: dict[str, str] = {}
    side, why = choices.image_size, ""
    if side is None:
        side, why = image_size(sizes, accelerated)
        reasons["--image-size"] = why
    shown = side or min(sizes[0])
    network = choices.network
    if network is None:
        network = default_network((3, shown, shown))
        reasons["--network"] = f"{network}: the general one for images of {shown} by {shown}"
    train = min(max(1, len(pictures) * 8 // 10), limit or len(pictures))
    latent_dim = choices.latent_dim
    if isinstance(latent_dim, Unsaid):
        latent_dim, reasons["--latent-dim"] = latents(shown, colours, train)
    training = choices.training
    if isinstance(training.batch_size, Unsaid) and training.batch_size > train // 4:
        training = replace(training, batch_size=max(1, train // 4))
        reasons["--batch-size"] = f"{training.batch_size}: a quarter of {train} training pictures"
    if isinstance(training.epochs, Unsaid):
        epochs, reasons["--epochs"] = passes(train // training.batch_size, accelerated)
        training = replace(training, epochs=epochs)
    return Choices(choices.image_size or (side if why else None), network, latent_dim, training, reasons)


def sizes_of(pictures: Sequence[Picture]) -> tuple[list[tuple[int, int]], bool]:
    """Width and height of some of the pictures, spread over all of them, and whether any has colours."""
    step = max(1, len(pictures) // LOOKED_AT)
    found = list(headers(pictures[::step]))
    return [size for size, _ in found], any(mode not in ("1", "L", "LA") for _, mode in found)


def headers(pictures: Sequence[Picture]) -> Iterator[tuple[tuple[int, int], str]]:
    """Size and mode of the pictures that have a header."""
    from PIL import Image

    for picture in pictures:
        with (
            suppress(Exception),
            Image.open(BytesIO(picture.read()), formats=FORMATS) as image,
        ):
            yield image.size, image.mode


def image_size(sizes: Sequence[tuple[int, int]], accelerated: bool) -> tuple[int | None, str]:
    """The largest power of two that most pictures fill and this machine trains at; None to keep them as they are."""
    middle, most = int(median(min(size) for size in sizes)), LARGEST[accelerated]
    if len({*sizes}) == 1 and sizes[0][0] == sizes[0][1] <= most:
        return None, f"left out: all pictures are {middle} by {middle} already"
    side = next((side for side in SIDES if side <= min(middle, most)), SIDES[-1])
    sides = sorted(min(size) for size in sizes)
    spread = f"{sides[0]}" if sides[0] == sides[-1] else f"{sides[0]} to {sides[-1]}"
    machine = "with a GPU" if accelerated else "without a GPU"
    return side, f"{side}: the shorter sides have {spread} pixels, and {most} is the most proposed {machine}"


def latents(side: int, colours: bool, train: int) -> tuple[int, str]:
    """As many as the RAE paper takes for images of that kind, fewer for few pictures."""
    count, like = (16, "MNIST") if side <= 32 and not colours else (128, "CIFAR-10") if side <= 32 else (64, "CelebA")
    if count * EXAMPLES <= train:
        return count, f"{count}: as for {like} in the RAE paper"
    fewer = count
    while fewer > 2 and fewer * EXAMPLES > train:
        fewer //= 2
    return fewer, f"{fewer}: {EXAMPLES} or more of {train} training pictures for each latent"


def passes(steps: int, accelerated: bool) -> tuple[int, str]:
    """Epochs for about as many steps as suit the machine."""
    wanted, machine = STEPS[accelerated], "with a GPU" if accelerated else "without a GPU"
    epochs = min(MOST, max(FEWEST, round(wanted / max(1, steps))))
    total = epochs * max(1, steps)
    return epochs, f"{epochs}: {total:,} steps in all; {machine} about {wanted:,} are proposed"
