"""What a command prints and the code it leaves with."""

from __future__ import annotations

import json
import logging
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from medtranslate.cli.progress import BarProgress, LineProgress
from medtranslate.errors import MedTranslateError, VolumeWriteError
from medtranslate.workflows.interruption import StopRequested, terminate_politely
from medtranslate.workflows.progress import Progress


class ExitCode(IntEnum):
    """What the caller's shell learns."""

    DONE = 0
    UNEXPECTED = 1
    USER_INPUT = 2
    PARTLY = 3
    INTERRUPTED = 130
    TERMINATED = 143


_SIGNALLED = 128
"""By custom a program that a signal ended leaves with this and the signal's number."""


@dataclass(frozen=True)
class Outcome:
    """What came of a command.

    Attributes:
        data: Plain JSON data, printed with ``--json``.
        shown: What a person sees instead.
        code: With which code the command ends.
    """

    data: Mapping[str, Any]
    shown: tuple[RenderableType, ...] = field(default=())
    code: ExitCode = ExitCode.DONE


Job = Callable[[Progress], Outcome]


def perform(job: Job, *, as_json: bool, going_on: str = "Call it again") -> ExitCode:
    """Run a job, print what came of it, and say with which code to leave.

    Results go to standard output; progress, warnings and errors to standard error. With
    ``as_json`` standard output is one JSON object: the result, or ``{"error": ...}``. ``going_on``
    says what to do after the command was stopped, or found no place to write to.
    """
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    _quieten()
    disabled = logging.root.manager.disable
    # Lightning sets its own level while it is imported, so a level set here would not last.
    logging.disable(logging.INFO)
    try:
        with (
            terminate_politely(),
            BarProgress(errors) if errors.is_terminal else LineProgress(errors) as progress,
        ):
            outcome = job(progress)
    except VolumeWriteError as error:
        text = f"{error}. {going_on}"
        return _report(text, type(error).__name__, ExitCode.USER_INPUT, as_json, errors)
    except MedTranslateError as error:
        return _report(str(error), type(error).__name__, ExitCode.USER_INPUT, as_json, errors)
    except KeyboardInterrupt as request:
        text = f"{str(request) or 'stopped; what was finished is kept'}. {going_on}"
        number = request.signal if isinstance(request, StopRequested) else signal.SIGINT
        code = ExitCode(_SIGNALLED + number)
        return _report(text, "Interrupted", code, as_json, errors)
    except Exception as error:  # noqa: BLE001 - the last place where anything can be told
        if _is_out_of_memory(error):
            text = (
                "the memory of this machine ran out; what was finished is kept. End what else is"
                " running, or use a machine with more memory"
            )
            return _report(text, "MemoryShortageError", ExitCode.USER_INPUT, as_json, errors)
        traceback.print_exc()
        text = f"unexpected {type(error).__name__}: {error}. This is a defect of medtranslate"
        return _report(text, type(error).__name__, ExitCode.UNEXPECTED, as_json, errors)
    finally:
        logging.disable(disabled)
    _show(outcome, as_json=as_json)
    return outcome.code


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:  # which is not imported to ask
        return isinstance(error, MemoryError)
    from medtranslate.inference.memory import is_out_of_memory

    return is_out_of_memory(error)


def report_usage_error(message: str) -> None:
    """Tell a machine that the command line itself could not be understood."""
    _print_json(_error_data(message, "UsageError", ExitCode.USER_INPUT))


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if as_json:
        _print_json(outcome.data)
        return
    console = Console(highlight=False)
    for part in outcome.shown:
        console.print(part)


def _report(text: str, kind: str, code: ExitCode, as_json: bool, errors: Console) -> ExitCode:
    if as_json:
        _print_json(_error_data(text, kind, code))
    else:
        errors.print(Text.assemble(("Error: ", "bold red"), text))
    return code


def _error_data(message: str, kind: str, code: ExitCode) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, "exit_code": int(code)}}


def _print_json(data: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2, allow_nan=False, default=str) + "\n")
    sys.stdout.flush()


def _quieten() -> None:
    """Our warnings reach the person; other libraries' notes to programmers do not."""
    warnings.simplefilter("ignore")
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(levelname)s: %(message)s", force=True
    )
