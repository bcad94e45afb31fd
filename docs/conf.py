"""Configuration of the documentation. The build needs no network."""

import sklearn

import sknumerai

project = "sknumerai"
author = "sknumerai developers"
copyright = "2026, sknumerai developers"
version = release = sknumerai.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "auto_examples/**.ipynb", "auto_examples/**.py"]
root_doc = "index"
default_role = "code"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# --- API pages ------------------------------------------------------------------------------------
# autosummary warns about a name that cannot be imported, and `make docs` makes that an error.
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters sections say it
numpydoc_class_members_toctree = False
numpydoc_show_class_members = False  # _templates/autosummary/class.rst lists them


def skip_what_others_wrote(app, what, name, obj, skip, options):
    """Leave out inherited members: their docstrings refer to pages of scikit-learn and torch."""
    module = getattr(obj, "__module__", None) or ""
    return True if module.startswith(("sklearn.", "torch.")) else None


def restore_scikit_learn(gallery_conf, fname):
    """Start every example with scikit-learn's defaults: the gallery runs them in one process."""
    sklearn.set_config(enable_metadata_routing=False)


# --- examples -------------------------------------------------------------------------------------
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "abort_on_example_error": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("sknumerai",),
    "download_all_examples": False,
    "reset_modules": ("matplotlib", "seaborn", restore_scikit_learn),
    "show_memory": False,
    "write_computation_times": False,
}
# the function above cannot be pickled: Sphinx then reads this configuration anew, which is fine
suppress_warnings = ["config.cache"]

# --- HTML -----------------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = "sknumerai"
html_static_path = ["_static"]
html_css_files = ["sknumerai.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "github_url": "https://github.com/sknumerai/sknumerai",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
}
html_sidebars = {"changelog": [], "contributing": [], "benchmarks": []}


def setup(app):
    """Register the hook above."""
    app.connect("autodoc-skip-member", skip_what_others_wrote)
