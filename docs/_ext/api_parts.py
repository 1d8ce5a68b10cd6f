"""The ``api-parts`` directive: what each named part of the package offers.

A part that has an ``__all__`` is documented by it, wherever the names are defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

PACKAGE = "napari_inr_tomo"


def described(part: str) -> Iterator[str]:
    """Yield the Markdown lines about one part."""
    name = f"{PACKAGE}.{part}"
    yield from (f"## {part}", "", "```{eval-rst}", f".. automodule:: {name}")
    yield "   :members:"
    if hasattr(import_module(name), "__all__"):
        yield "   :imported-members:"
    yield from ("```", "")


class ApiParts(SphinxDirective):
    """Document the parts named in the directive's body, one a line."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the descriptions as part of the page."""
        parts = [part for part in self.content if find_spec(f"{PACKAGE}.{part}")]
        text = "\n".join(line for part in parts for line in described(part))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("api-parts", ApiParts)
    return {"parallel_read_safe": True}
