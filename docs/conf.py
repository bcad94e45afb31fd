"""Configuration of the documentation. The build needs no network."""

from pathlib import Path

import sklearn

import sknumerai
from sknumerai.metrics._catalogue import METRICS, PREDICTION, TARGET

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


# --- tables of metrics and of scorers, from the catalogue -----------------------------------------
def list_table(header, rows):
    """Rows of cells as a list-table."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for first, *others in [header, *rows]:
        lines += [f"   * - {first}", *(f"     - {cell}" for cell in others)]
    return "\n".join([*lines, ""])


def write_tables_of_metrics(app):
    """Write what the page on scoring includes."""
    given = {TARGET: "y", PREDICTION: "", "features": "features, if they are not X"}

    def needs(metric, names):
        return ", ".join(
            names.get(table, table) for table in metric.tables if names.get(table, table)
        )

    metrics = [
        (
            f":func:`{m.function.__name__}`",
            m.title,
            m.summary,
            needs(m, {PREDICTION: "", TARGET: "y"}),
        )
        for m in METRICS.values()
        if not m.options
    ]
    scorers = [
        (f'"{m.scorer_name(aggregate)}"', m.summary, needs(m, given | {TARGET: ""}) or "none")
        for m in METRICS.values()
        for aggregate in m.aggregates
    ]
    folder = Path(app.srcdir) / "generated"
    folder.mkdir(exist_ok=True)
    table = list_table(["function", "name", "what it is", "needs"], metrics)
    (folder / "metrics.inc").write_text(table, encoding="utf-8")
    table = list_table(["scorer", "of", "metadata, besides the eras"], scorers)
    (folder / "scorers.inc").write_text(table, encoding="utf-8")


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
    """Register the hooks above."""
    app.connect("autodoc-skip-member", skip_what_others_wrote)
    app.connect("builder-inited", write_tables_of_metrics)
