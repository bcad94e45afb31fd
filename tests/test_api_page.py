"""docs/api.rst lists every public name; that it lists no other, the build of the docs checks."""

import importlib
import re
from pathlib import Path

import pytest

import sknumerai

API_PAGE = Path(__file__).parents[1] / "docs" / "api.rst"
SUBPACKAGES = sorted(set(sknumerai.__all__) - {"__version__"})


@pytest.mark.parametrize("subpackage", SUBPACKAGES)
def test_every_public_name_is_listed(subpackage):
    module = f"sknumerai.{subpackage}"
    sections = API_PAGE.read_text(encoding="utf-8").split(".. currentmodule:: ")
    listed = {
        name
        for section in sections[1:]
        if section.split(maxsplit=1)[0] == module
        for name in re.findall(r"^   (\w+)$", section, flags=re.MULTILINE)
    }
    assert set(importlib.import_module(module).__all__) - listed == set()
