"""What the documents say must be so: commands exist with their options, links lead somewhere, figures are the last."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from cryosiam.cli.main import app
from cryosiam.errors import WeightsError
from cryosiam.weights import weights_folder

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def shell_lines(document: Path) -> list[list[str]]:
    """Return the words of every line in the document's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", document.read_text(), re.DOTALL)
    return [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line]


ALL_LINES = [line for document in DOCUMENTS for line in shell_lines(document)]


def starting_with(program: str) -> list[list[str]]:
    return [line for line in ALL_LINES if line[0] == program]


@pytest.mark.parametrize("line", starting_with("cryosiam"), ids=" ".join)
def test_commands_exist_and_know_their_options(line: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    words = line[1:]
    while hasattr(command, "commands"):
        # `simulate` takes a recipe in place of the name of its main command.
        command = command.commands[words.pop(0) if words[0] in command.commands else "run"]
    # Parsing alone: files that a document speaks of need not be there.
    command.make_context(" ".join(line), words)


@pytest.mark.parametrize("line", starting_with("make"), ids=" ".join)
def test_make_targets_exist(line: list[str]) -> None:
    assert set(line[1:]) <= TARGETS


@pytest.mark.parametrize("line", starting_with("python"), ids=" ".join)
def test_scripts_exist(line: list[str]) -> None:
    assert (ROOT / line[1]).is_file()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_documents_show_the_last_figures_and_cards() -> None:
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs/refresh.py")
    assert spec is not None
    assert spec.loader is not None
    refresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(refresh)
    assert (ROOT / "README.md").read_text() == refresh.readme(), "run 'make docs'"
    try:
        weights_folder("light")
    except WeightsError:
        pytest.skip("the weights 'light' are not there, so that there is no card to compare with")
    assert (ROOT / "docs/models/light.md").read_text() == refresh.model_card("light"), "run 'make docs'"
