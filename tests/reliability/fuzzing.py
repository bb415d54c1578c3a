"""Mutations: what valid values and files become by chance, and what is asked of whoever reads them."""

import io
import struct
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from hypothesis import given, HealthCheck, settings, strategies as st
from PIL import Image

import sigmae
from sigmae.errors import SigmaeError

TEXTS = (
    *(
        "",
        " ",
        "nan",
        "inf",
        "-1",
        "0",
        "1e999",
        "9" * 400,
        "x" * 3000,
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "é",
        "a\nb",
        "\0",
    ),
    *("../../x", "/etc/passwd", "os:system", "json:loads", ":", "--", "=", "[", "{}", "[[[]]]", "1e5", "true", "null"),
    *("<script>", "KL", "MMD", "Delta", "vae", "optimal", "digits", "hf:a/b", "conv", "mlp", "classifier"),
)
NUMBERS = (0, -1, 1, 2, 3, 2**31, 2**63, 10**12, 10**299, 0.5, -0.0, 1e-300, 1e300, float("nan"), float("inf"))
WORDS = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\x80", b"PK\x03\x04", b"\x93NUMPY", b"(((((((", b"}")
EDGE = 200  # bytes at either end, where files tell what they are

RANDOM = np.random.RandomState(0)
IDX = b"\0\0\x08\x03" + struct.pack(">3I", 3, 4, 4) + bytes(range(48))
PIXELS = RANDOM.randint(0, 255, (8, 9, 3), dtype=np.uint8)
ARRAYS = {"images": RANDOM.randint(0, 255, (6, 4, 4), dtype=np.uint8), "labels": np.array(list("abcabc"))}

Fuzz = tuple[st.SearchStrategy[Any], Callable[[Any], object]]
"""Inputs, and what takes one."""

odd = st.one_of(
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    st.lists(st.sampled_from((*NUMBERS, "a", None)), max_size=4),
    st.dictionaries(st.sampled_from(("type", "name", "weight", "a")), st.sampled_from((*NUMBERS, *TEXTS)), max_size=2),
)


def places(value: Any, *above: Any) -> Iterator[tuple[Any, ...]]:
    """The paths of all values within lists and objects, the whole one first."""
    yield above
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in inner:
        yield from places(member, *above, key)


@st.composite
def mutated(draw: Any, document: Any) -> Any:
    """A JSON value of which up to three places were left out, replaced, nested or exchanged for others."""
    changed = [deepcopy(document)]
    for _ in range(draw(st.integers(1, 3))):
        *above, key = draw(st.sampled_from([(0, *path) for path in places(changed[0])]))
        holder: Any = changed
        for step in above:
            holder = holder[step]
        match draw(st.sampled_from(("replace", "replace", "replace", "drop", "nest", "list", "exchange", "add"))):
            case "drop" if above:
                del holder[key]
            case "nest":
                holder[key] = {"type": holder[key]}
            case "list":
                holder[key] = [holder[key]] * draw(st.sampled_from((1, 2, 70)))
            case "exchange":
                holder[key] = deepcopy(draw(st.sampled_from([holder[key], document])))
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(TEXTS))] = draw(odd)
            case _:
                holder[key] = draw(odd)
    return changed[0]


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Bytes of which up to four places were changed, cut out, doubled or overwritten, most often near the ends."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        ends = st.integers(0, min(EDGE, len(data))) | st.integers(max(0, len(data) - EDGE), len(data))
        start = draw(ends | st.integers(0, len(data)))
        match draw(st.sampled_from(("change", "change", "cut", "end", "double", "word"))):
            case "change":
                data[start : start + 1] = draw(st.binary(min_size=1, max_size=2))
            case "cut":
                del data[start : start + draw(st.integers(1, 64))]
            case "end":
                del data[start:]
            case "double":
                data[start:start] = data[start : start + draw(st.integers(1, 64))]
            case "word":
                word = draw(st.sampled_from(WORDS))
                data[start : start + len(word)] = word
    return bytes(data)


def is_taken(call: Callable[[], object]) -> bool:
    """Whether a call takes what it is given; what it does not take is refused in a sentence, and nothing else."""
    try:
        call()
    except SigmaeError:
        return False
    return True


def make_run(folder: Path) -> Path:
    """A small finished run of the default method, with its evaluation and its page."""
    images = folder / "images.npy"
    np.save(images, np.random.RandomState(0).rand(60, 8, 8).astype(np.float32))
    options = {"latent_dim": 2, "settings": ["network.hidden=[8]"], "epochs": 2, "batch_size": 10}
    sigmae.fit(str(images), out=folder / "run", **options)
    return folder / "run"


def saved(write: Callable[..., object], *arrays: Any, **named: Any) -> bytes:
    file = io.BytesIO()
    write(file, *arrays, **named)
    return file.getvalue()


def picture(kind: str, **options: Any) -> bytes:
    return saved(Image.fromarray(PIXELS).save, format=kind, **options)


def zipped() -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as made:
        for number in range(4):
            made.writestr(f"{number % 2}/{number}.png", picture("PNG"))
    return file.getvalue()


def fuzzed(fuzz: Fuzz, tries: int) -> int:
    """How many of so many inputs are taken; any error but a `SigmaeError` is raised on, with its smallest input."""
    inputs, take = fuzz
    taken = []

    @settings(max_examples=tries, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def every(value: Any) -> None:
        taken.append(is_taken(lambda: take(value)))

    every()
    return sum(taken)
