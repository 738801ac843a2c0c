"""The command that copick's own command line offers as a plug-in."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def test_copick_plugin_answers() -> None:
    done = subprocess.run(["copick", "inference", "cryosiam", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--copick" in done.stdout


def test_copick_plugin_reports_errors_in_one_line(tmp_path: Path) -> None:
    command = ["copick", "inference", "cryosiam", "--config", str(tmp_path / "absent.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_plugin_module_imports_nothing_heavy() -> None:
    script = textwrap.dedent("""
        import sys
        import cryosiam.integrations.copick.plugin
        heavy = {"torch", "numpy", "copick", "zarr", "typer"} & set(sys.modules)
        sys.exit(", ".join(heavy) or 0)
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
