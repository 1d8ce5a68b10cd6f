"""The documentation site: `make docs` writes docs/_build/html."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from napari_inr_tomo import __version__

project = "napari-inr-tomo"
author = "The napari-inr-tomo developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "api_parts",
    "error_tables",
    "failure_tables",
    "key_table",
    "settings_tables",
    "benchmark_tables",
    "plain_docstrings",
]
exclude_patterns = ["_build"]
# a message is shown as it is: -- is no dash, and \. keeps its backslash
smartquotes = False

html_theme = "furo"
html_title = "napari-inr-tomo"
html_copy_source = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {
    name: name for name in ("ArrayLike", "BoolArray", "FloatArray", "ImageArray")
}
default_role = "py:obj"
# one name in two modules: the link goes to the first
suppress_warnings = ["ref.python"]
python_maximum_signature_line_length = 88
toc_object_entries = False
