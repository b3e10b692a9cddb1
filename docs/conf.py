"""Sphinx: Markdown by myst, furo's looks, the API from docstrings. Warnings are errors (make docs)."""

import dgnn

project = "dgnn"
author = "the dgnn authors"
copyright = "2026, the dgnn authors"
release = version = dgnn.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"dgnn {release}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
html_static_path = ["figures"]
html_css_files = ["pages.css"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
