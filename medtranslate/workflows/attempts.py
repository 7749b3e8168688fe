"""One case of many tried: what goes wrong with it is told in its place and stops no other."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medtranslate.errors import MedTranslateError
from medtranslate.inference.memory import is_out_of_memory

_LOGGER = logging.getLogger(__name__)
_PACKAGE = Path(__file__).resolve().parents[1]

Result = TypeVar("Result")


@dataclass(frozen=True)
class Failure:
    """Why a case could not be done."""

    why: str


def attempt(
    job: Callable[[], Result], *, but: tuple[type[Exception], ...] = ()
) -> Result | Failure:
    """Do one case of many; a failure is returned, and a defect's place in the code is logged.

    Requests to stop are no failures: they are raised, and so is what ``but`` names.
    """
    try:
        return job()
    except but:
        raise
    except Exception as error:  # noqa: BLE001 - a defect that one case meets must not cost the others
        if not isinstance(error, MedTranslateError) and not is_out_of_memory(error):
            # Frames without the exception's own text, which may quote what a file holds.
            frames = traceback.format_tb(error.__traceback__)
            _LOGGER.error("%s\n%s", tell_failure(error), "".join(frames))
        return Failure(tell_failure(error))


def tell_failure(error: Exception) -> str:
    """One line that says why a case failed: of our own errors the message, else the place.

    The message of another exception is left out, as it may quote a header or a path.
    """
    if isinstance(error, MedTranslateError):
        return str(error)
    kind = type(error).__name__
    if is_out_of_memory(error):
        return f"the memory does not suffice ({kind}): end what else is running, or lower --memory"
    return (
        f"unexpected {kind} in {_find_place(error)}: a defect of medtranslate; please report this"
        " line"
    )


def _find_place(error: Exception) -> str:
    """File and line of the package where the exception passed last, by the package's own path."""
    places = [
        f"{path.relative_to(_PACKAGE.parent).as_posix()}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := Path(frame.filename).resolve()).is_relative_to(_PACKAGE)
    ]
    return places[-1]
