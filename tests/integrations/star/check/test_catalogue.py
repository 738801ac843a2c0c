"""The documentation lists the rules as they are.

    python tests/integrations/star/check/test_catalogue.py

writes the table anew.
"""

from __future__ import annotations

from pathlib import Path

from cryosiam.integrations.star.check.catalogue import rules_markdown
from cryosiam.integrations.star.check.report import RULES

DOCUMENT = Path(__file__).resolve().parents[4] / "docs" / "check.md"
BEGIN, END = "<!-- rules -->\n", "<!-- /rules -->\n"


def written() -> str:
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rules_markdown()}\n{END}{after}"


def test_document_has_the_rules_as_they_are() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == written()


def test_every_rule_is_a_sentence_with_a_source() -> None:
    for rule in RULES:
        assert rule.finds.endswith(".")
        assert rule.effects
        for effect in rule.effects.values():
            assert effect.source
            assert not effect.does.endswith(".")


if __name__ == "__main__":
    DOCUMENT.write_text(written(), encoding="utf-8")
