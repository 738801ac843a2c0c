"""A project of one simulated tomogram, for the tests that read."""

from __future__ import annotations

from pathlib import Path

import pytest

from cryosiam.integrations.copick.simulated_project import WriteOptions, write_tomogram

from .toy_tomogram import make_tomogram


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "project"
    write_tomogram(folder, make_tomogram(), "toy-0007", options=WriteOptions(maps=True))
    return folder
