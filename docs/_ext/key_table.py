"""A directive that writes the table of keys from the code that binds them."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from napari_inr_tomo.ui.keys import KEYS


class KeyTable(SphinxDirective):
    """``.. key-table::``"""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = [f"| {key.key} | {key.words} |" for key in KEYS]
        lines = ["| key | what it does |", "| --- | --- |", *rows]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("key-table", KeyTable)
    return {"parallel_read_safe": True}
