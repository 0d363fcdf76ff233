"""Errors as sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stagewright.components.runtime.errors import BadParameter, GateFailed, MissingSetting, did_you_mean, one_of


def test_bad_parameter_names_what_is_wrong_and_what_is_expected() -> None:
    with pytest.raises(BadParameter) as caught:
        one_of("split", "tme", ("random", "time"))

    assert str(caught.value) == "parameter 'split' is 'tme'; expected one of random, time (did you mean 'time'?)"
    assert caught.value.exit_code == 2


def test_missing_settings_are_named_together() -> None:
    assert str(MissingSetting(["A", "B"], "the store needs them")) == "A and B not set; the store needs them"


@given(st.lists(st.text(st.characters(codec="ascii", exclude_characters=";"), min_size=1), min_size=1, max_size=40))
def test_gate_shows_at_most_ten_failures_and_counts_the_rest(failures: list[str]) -> None:
    error = GateFailed("data", failures)

    assert error.failures == tuple(failures)
    assert str(error).startswith(f"data did not pass: {failures[0]}")
    assert str(error).endswith(f"; and {len(failures) - 10} more") == (len(failures) > 10)


def test_nothing_is_suggested_when_nothing_is_close() -> None:
    assert did_you_mean("zebra", ["tenure", "churn"]) == ""
