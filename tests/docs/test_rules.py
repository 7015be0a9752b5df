"""docs/supervisors/rules.md: there are 26 rules, every one has tests, and the page names all of them."""

from __future__ import annotations

import re

import pytest

from . import rules
from .pages import read


def test_there_are_all_26_rules_in_order() -> None:
    numbers = re.findall(r"^(\d+)\. ", read(rules.PAGE), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 27)]


@pytest.mark.parametrize("number", range(1, 27))
def test_every_rule_has_a_test(number: int) -> None:
    assert rules.tests_of(number)


def test_the_rules_name_the_tests_that_there_are() -> None:
    assert read(rules.PAGE) == rules.render(read(rules.PAGE)), "python -m tests.docs.rules"
