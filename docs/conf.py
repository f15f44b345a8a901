"""Settings of the site: `python -m sphinx -W --keep-going docs build/site` builds it, without a network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import jaxiter

project = "jaxiter"
author = "the jaxiter authors"
copyright = "the jaxiter authors; Apache-2.0"
version = release = jaxiter.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "_docstrings",
    "_names",
    "_pages",
    "_reference",
]
nitpicky = True  # a name that leads nowhere is a warning, and -W makes it an error

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

default_role = "literal"  # docstrings write code as Markdown does; _names.py links what is public
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
autosummary_generate = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"jaxiter {version}"
html_static_path, html_css_files, html_favicon = ["_static"], ["site.css"], "_static/icon.svg"
html_copy_source = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "friendly", "github-dark"
