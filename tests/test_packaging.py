"""What is installed must be whole, and must ask for what it uses."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import distribution, entry_points, packages_distributions
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import cryosiam
from cryosiam.ports import SINK_GROUP, SOURCE_GROUP, Sink, Source

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED_KINDS = {".py", ".typed", ".json", ".yaml", ".safetensors", ".star"}
REQUIREMENTS = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
SCIPION = ROOT / "integrations" / "scipion"
"""The plug-in for Scipion: a distribution of its own, which the package does not hold."""
HOSTS = {"pipeliner"}
"""Packages of programs that load our plug-ins: they are there whenever the plug-in is."""
OPTIONAL = [Requirement(line) for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines]
DEVELOPMENT = [Requirement(line) for line in PROJECT["dependency-groups"]["dev"]]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def source_files() -> list[tuple[str, Path]]:
    """Return every file of the source tree that belongs into the package: the package's part, and the place in it."""
    parts = {"cryosiam": "cryosiam", "cryosiam.integrations": "integrations", "cryosiam.schemas": "schemas"}
    return [
        (part, path.relative_to(ROOT / folder))
        for part, folder in parts.items()
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in SHIPPED_KINDS and SCIPION not in path.parents
    ]


def imported_packages() -> set[str]:
    """Return the names of all foreign packages that the source tree imports, at the top of a file or inside."""
    names: set[str] = set()
    for folder in ("cryosiam", "integrations", "schemas"):
        for path in (ROOT / folder).rglob("*.py"):
            if SCIPION in path.parents:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"cryosiam"} - HOSTS


def constraints() -> dict[str, str]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    pins = (line.split("==") for line in lines if line)
    return {canonical(name): version for name, version in pins}


def test_every_file_of_the_source_tree_is_installed() -> None:
    expected = source_files()
    assert len(expected) > 100
    assert not [(part, path) for part, path in expected if not files(part).joinpath(str(path)).is_file()]


def test_version_is_the_same_everywhere() -> None:
    assert cryosiam.__version__ == PROJECT["project"]["version"] == distribution("cryosiam").version


def test_package_is_typed_and_carries_its_licence() -> None:
    assert files("cryosiam").joinpath("py.typed").is_file()
    assert distribution("cryosiam").metadata["License-Expression"] == "BSD-3-Clause"
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize(("group", "port"), [(SOURCE_GROUP, Source), (SINK_GROUP, Sink)])
def test_announced_adapters_keep_their_port(group: str, port: type) -> None:
    announced = PROJECT["project"]["entry-points"][group]
    installed = {
        point.name: point for point in entry_points(group=group) if point.dist and point.dist.name == "cryosiam"
    }
    assert {name: point.value for name, point in installed.items()} == announced
    wanted = {name for name in vars(port) if not name.startswith("_")}
    for point in installed.values():
        adapter = point.load()
        assert not [name for name in wanted if not hasattr(adapter, name)], point.name


def test_copick_finds_the_plug_in() -> None:
    (point,) = (p for p in entry_points(group="copick.inference.commands") if p.name == "cryosiam")
    assert point.load().name == "cryosiam"


def test_every_import_is_a_declared_dependency_and_the_other_way_round() -> None:
    distributions = packages_distributions()
    used = {canonical(distributions[name][0]) for name in imported_packages()}
    declared = {canonical(requirement.name) for requirement in REQUIREMENTS}
    assert used - {canonical(requirement.name) for requirement in OPTIONAL} == declared


@pytest.mark.parametrize("requirement", REQUIREMENTS + DEVELOPMENT, ids=lambda requirement: requirement.name)
def test_constraints_name_a_version_that_is_allowed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(constraints()[canonical(requirement.name)])
