"""Validation of a saved state, shared by `stream` and Keras' iterators."""

from __future__ import annotations

from collections.abc import Collection, Mapping


def check_state(
    state: object,
    expected: Mapping[str, object],
    needed: Collection[str],
    *,
    remedy: str,
    digests: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """`state`, if it fits the iterator that it is to be restored to.

    Args:
        state: What `get_state()` returned, possibly after a round trip through JSON.
        expected: Fields whose values must be equal, with the values of this iterator.
        needed: Names of further fields, whose values the caller checks.
        remedy: Last sentence of the error about values that differ.
        digests: Of what is too large for a state; states of earlier versions have none.

    Raises:
        TypeError: If state is no dict.
        ValueError: If a field is missing or differs; all of them are named.
    """
    if not isinstance(state, dict):
        raise TypeError(f"state is {state!r}; expected the dict that get_state() gave.")
    missing = [name for name in (*needed, *expected) if name not in state]
    lacks = [f"state lacks {', '.join(missing)}"] if missing else []
    wrong = [
        f"{name} is {state[name]!r}, here {value!r}"
        for name, value in expected.items()
        if name in state and state[name] != value
    ]
    wrong += [
        f"{name} is not the same (digest {state[name]!r}, here {value!r})"
        for name, value in (digests or {}).items()
        if state.get(name, value) != value
    ]
    if wrong:
        raise ValueError(f"state was taken from another stream or iterator: {'; '.join(lacks + wrong)}. {remedy}")
    if missing:
        raise ValueError(f"{lacks[0]}; expected what get_state() gave.")
    return state
