"""What the exceptions promise."""

from __future__ import annotations

import pytest

from medtranslate import errors


def test_every_exception_is_one_that_the_command_line_prints_without_a_traceback() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]

    assert len(kinds) >= 8
    assert all(issubclass(kind, errors.MedTranslateError) for kind in kinds)


def test_a_missing_extra_says_the_line_that_installs_it() -> None:
    with pytest.raises(errors.MissingExtraError, match=r"pip install 'medtranslate\[phantom\]'"):
        raise errors.MissingExtraError("nilearn", "phantom")
