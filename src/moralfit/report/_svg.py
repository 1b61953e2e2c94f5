"""From a matplotlib figure to an element of the page, in the colours of its style sheet."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from moralfit.report._format import clean

#: Colours that matplotlib draws with, and the custom properties of the style sheet that take their place.
INKS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "paper": "#040404",
    "base": "#050505",
    "prompted": "#060606",
    "random": "#070707",
    "adapter-1": "#080808",
    "adapter-2": "#090909",
    "adapter-3": "#0a0a0a",
    "adapter-4": "#0b0b0b",
    "other-1": "#0c0c0c",
    "other-2": "#0d0d0d",
    "other-3": "#0e0e0e",
    "other-4": "#0f0f0f",
    "other-5": "#101010",
}
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def quiet() -> Iterator[None]:
    """Matplotlib as it comes out of the box while we draw, whatever style the caller's notebook has set."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The page's fonts draw the text, so a glyph that matplotlib's own font lacks does not matter.
        warnings.simplefilter("ignore")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "moralfit"})
        yield


def svg(figure: Figure, slug: str, title: str) -> Markup:
    """The drawing as an element of an HTML page: no prologue or namespaces, identifiers of its own, the page's colours."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if (
                child.tag == f"{_SVG}metadata"
                or child.tag == f"{_SVG}style"
                or (child.tag == f"{_SVG}defs" and _only_style(child))
            ):
                parent.remove(child)
    used = {
        match for element in root.iter() for value in element.attrib.values() for match in re.findall(r"#([\w-]+)\)?$", value)
    }
    width, height = (float(number) for number in root.attrib["viewBox"].split()[2:])
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = dict(element.attrib)
        element.attrib.clear()
        for name, value in attributes.items():
            if name == "id":
                if value in used:
                    element.set("id", f"{slug}-{value}")
            elif name == _HREF:
                element.set("href", f"#{slug}-{value.removeprefix('#')}")
            elif name == "clip-path":
                element.set("clip-path", value.replace("#", f"#{slug}-"))
            elif name == "d":
                element.set("d", re.sub(r"(\.\d\d)\d+", r"\1", " ".join(value.split())))
            elif name == "style":
                element.set("style", _themed(value))
            elif name != "transform" or "rotate(-0 " not in value:
                element.set(name, value)
        if element.text is not None and element.tag not in ("text", "tspan"):
            element.text = None
        element.tail = None
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": f"0 0 {width:g} {height:g}", "width": f"{width:g}", "role": "img", "aria-labelledby": f"{slug}-title"}
    )
    heading = ElementTree.Element("title", {"id": f"{slug}-title"})
    heading.text = clean(title)
    root.insert(0, heading)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _only_style(element: ElementTree.Element) -> bool:
    return len(element) > 0 and all(child.tag == f"{_SVG}style" for child in element)


def _themed(style: str) -> str:
    kept = [part.strip() for part in style.split(";") if part.strip() and not part.strip().startswith("font-family")]
    themed = "; ".join(kept)
    for name, colour in INKS.items():
        themed = themed.replace(colour, f"var(--{name})")
    return themed
