"""The import graph: rooms stand on floors, and use of each other what is public, but for a few."""

import ast
from pathlib import Path

import pytest

import sknumerai

ROOT = Path(sknumerai.__file__).parent

# Every room may use what stands before it.
FLOORS = """
    exceptions _optional _typing _atomic
    _rows _sklearn _parallel _warnings _eras _era_loop _frames _columns _routing _kernels
    datasets staking preprocessing
    model_selection portfolio metrics
    neutralization
    neural_network contribution ensemble boosting
    inspection upload
    streaming
    cli
""".split()

# What a room uses of another's private modules. All else belongs on the ground floor (_kernels and
# the modules beside it) or in the lower room's public face.
INTERNAL_INTERFACES = {
    ("contribution", "metrics._scorer_base"),
    ("contribution", "portfolio._interface"),
    ("boosting", "metrics._catalogue"),
    ("boosting", "metrics._per_era"),
    ("cli", "metrics._catalogue"),
    ("cli", "streaming._paths"),
    ("cli", "streaming._quoting"),
    ("cli", "streaming._text_table"),
    ("cli", "streaming._whole_table"),
    ("streaming", "contribution._era_gradient"),
    ("streaming", "contribution._true_contribution"),
    ("streaming", "datasets._era_rows"),
    ("streaming", "datasets._feature_sets"),
    ("streaming", "datasets._parquet"),
    ("streaming", "datasets._sources"),
    ("streaming", "metrics._catalogue"),
    ("streaming", "metrics._era_table"),
    ("streaming", "neutralization._clip_exposure"),
    ("streaming", "neutralization._clipping"),
    ("streaming", "neutralization._exposure_settings"),
    ("streaming", "neutralization._frontier"),
    ("streaming", "neutralization._neutralize"),
    ("streaming", "portfolio._interface"),
    ("upload", "ensemble._blending"),
    ("upload", "neutralization._clipping"),
    ("upload", "neutralization._limits"),
    ("upload", "neutralization._neutralize"),
    ("upload", "neutralization._riskiest_features"),
}
MOST_STATEMENTS = 45


def imports():
    """(importing room, file, parts of the module imported) for every import within the package."""
    for file in sorted(ROOT.rglob("*.py")):
        relative = file.relative_to(ROOT).with_suffix("")
        if relative.name == "__init__" and len(relative.parts) == 1:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sknumerai"):
                modules = [node.module.split(".")[1:]]
                if len(modules[0]) < 2:  # a name imported from a package may be a module
                    modules = [[*modules[0], alias.name] for alias in node.names]
            elif isinstance(node, ast.Import):
                modules = [a.name.split(".")[1:] for a in node.names if "sknumerai" in a.name]
            else:
                continue
            for parts in modules:
                if parts and parts != ["__version__"]:
                    yield relative.parts[0], str(relative), parts


IMPORTS = list(imports())


def test_every_room_has_a_floor():
    rooms = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {room for room in rooms if not room.startswith("__")} == set(FLOORS)


def test_imports_point_downwards():
    floor = {room: number for number, room in enumerate(FLOORS)}
    upwards = [
        (file, ".".join(parts))
        for room, file, parts in IMPORTS
        if parts[0] in floor and parts[0] != room and floor[parts[0]] > floor[room]
    ]
    assert upwards == []


def test_private_modules_are_used_by_their_own_room():
    reaching = [
        (room, f"{parts[0]}.{parts[1]}")
        for room, _, parts in IMPORTS
        if parts[0] != room and not parts[0].startswith("_") and len(parts) > 1
        if parts[1].startswith("_")
    ]
    assert set(reaching) == INTERNAL_INTERFACES  # strike what is no longer used
    assert len(reaching) <= MOST_STATEMENTS


@pytest.mark.parametrize("private", ["_param_validation", "_search", "_fit_context"])
def test_private_parts_of_scikit_learn_are_named_once(private):
    naming = {
        path.name
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn")
        if private in node.module or private in [alias.name for alias in node.names]
    }
    assert naming == {"_sklearn.py"}


def test_the_ground_floor_knows_neither_eras_nor_frames():
    for path in (ROOT / "_kernels").glob("*.py"):
        modules = {parts[0] for room, file, parts in IMPORTS if file == f"_kernels/{path.stem}"}
        assert modules <= {"_kernels", "_typing", "_sklearn", "exceptions"}


def test_annotations_are_not_evaluated():
    """They would go into uploads with what they name, whose modules other versions may lack."""
    evaluated = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if "cli" not in path.parts and path.name != "_runner.py"
        if any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text())))
        if "from __future__ import annotations" not in path.read_text()
    ]
    assert evaluated == []
