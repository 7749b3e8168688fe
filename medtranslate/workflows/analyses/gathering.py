"""What was seen of several cases, put together."""

from __future__ import annotations

from typing import Any


def unite(first: Any, second: Any) -> Any:  # Any: whatever analyses gather
    """What two groups of cases gave as if one group had given it, the cases of ``first`` first.

    Dictionaries are united key by key, lists one after the other, sets as sets. Of anything else
    the second is taken, unless there is none.

    Example:
        >>> unite({"a": {"case1": 1.0}}, {"a": {"case2": 2.0}})
        {'a': {'case1': 1.0, 'case2': 2.0}}
    """
    if isinstance(first, dict) and isinstance(second, dict):
        both = {key: unite(first[key], second[key]) for key in first.keys() & second.keys()}
        return first | second | both
    if isinstance(first, list):
        return [*first, *second]
    if isinstance(first, set):
        return first | second
    return second or first
