"""Values of pytest's reports and plugins survive the way through JSON."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dt_action.runner.values import decoded, encoded, is_plain

hashables = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
plain = st.recursive(
    hashables,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.sets(hashables, max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.just("__dt__"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(plain)
def test_what_is_plain_comes_back_as_it_was(value: object) -> None:
    back = decoded(json.loads(json.dumps(encoded(value))))
    assert back == value
    assert type(back) is type(value)
    assert is_plain(value)


@pytest.mark.parametrize("odd", [object(), len, ValueError("x")])
def test_what_is_not_plain_is_told_by_its_words_instead_of_refused(odd: object) -> None:
    assert decoded(encoded([odd])) == [repr(odd)]
    assert not is_plain({"a": [odd]})


def test_a_lone_surrogate_gets_through() -> None:
    assert decoded(json.loads(json.dumps(encoded("\udc80")))) == "\udc80"
