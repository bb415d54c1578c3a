"""HTML that is escaped by construction: text becomes markup only through `element`."""

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape


class Html(str):
    """Markup. Every other string is text, and is escaped when it enters an element."""

    __slots__ = ()


def join(*children: str) -> Html:
    """The children one after the other, those that are text escaped."""
    return Html("".join(child if isinstance(child, Html) else _escape(child) for child in children))


def element(tag: str, *children: str, **attributes: str | int) -> Html:
    """An element; `class_` names the attribute class, `aria_label` aria-label."""
    opened = [tag, *(f'{_attribute(name)}="{_escape(str(value))}"' for name, value in attributes.items())]
    if tag in ("img", "meta"):
        return Html(f"<{' '.join(opened)}>")
    return Html(f"<{' '.join(opened)}>{join(*children)}</{tag}>")


def code(name: str) -> Html:
    """A name as it is typed; a narrow column breaks it between its words."""
    words = re.split(r"(?<=[._/-])|(?<=[a-z])(?=[A-Z])", name)
    return element("code", Html("<wbr>".join(join(word) for word in words)))


def table(kind: str, caption: str, head: Iterable[str], *groups: Iterable[Html]) -> Html:
    """A table with a heading for each column, each group of rows a body of its own; `kind` is its class."""
    columns = [element("th", name, scope="col") for name in head]
    bodies = [element("tbody", *group) for group in groups]
    heading = element("thead", element("tr", *columns))
    return element("table", element("caption", caption), heading, *bodies, class_=kind)


def document(title: str, style: str, *body: Html) -> Html:
    """A whole page that loads nothing and runs nothing: its policy allows this very style, and pictures within it."""
    allowed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · sigmae"),
        element("style", Html(style)),
    )
    return join(Html("<!doctype html>\n"), element("html", head, element("body", *body), lang="en"), "\n")


def png(content: bytes, alt: str, *, pixels: int = 1) -> Html:
    """A PNG picture within the page, with so many of its pixels for each of the page's."""
    # The first chunk of every PNG: width and height are its first eight bytes.
    width, height = (int.from_bytes(content[start : start + 4], "big") // pixels for start in (16, 20))
    return element("img", src=data_uri("image/png", content), alt=alt, width=width, height=height)


def data_uri(media: str, content: bytes) -> str:
    """An address that holds its own content."""
    return f"data:{media};base64,{base64.b64encode(content).decode()}"


def _attribute(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


def _escape(text: str) -> str:
    # JSON can spell half of a surrogate pair, which UTF-8 cannot hold.
    return escape(text.encode("utf-8", "replace").decode("utf-8"))
