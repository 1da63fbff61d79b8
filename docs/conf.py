"""Settings of Sphinx. A site is built by `python -m docs.build OUT`, while writing with `--draft`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import rsmtl

project = "rsmtl"
author = "the rsmtl authors"
project_copyright = "the rsmtl authors, Apache-2.0"
version = release = rsmtl.__version__

extensions = [
    "docs.docstrings",
    "docs.included",
    "docs.mathml",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["**/.*"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # they come with their outputs
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # its scripts would come from another host
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"
copybutton_here_doc_delimiter = "EOF"

smartquotes_action = "qe"  # no dashes: --out is an option
default_role = "code"  # docstrings are written in Markdown's way
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = ["Shape"]
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True
maximum_signature_line_length = 60
nitpick_ignore_regex = [
    ("py:.*", r"(?!rsmtl\.).*"),  # other projects' names: their pages are on the network
]

html_theme = "furo"
html_title = "rsmtl"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
