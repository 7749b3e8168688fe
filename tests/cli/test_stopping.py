"""What a command that was stopped says: how to go on with this very command."""

import signal

import pytest
from typer.testing import CliRunner

from medtranslate.cli import ahead, build, ecosystem, look, use  # noqa: F401 - they add commands
from medtranslate.cli.app import app
from medtranslate.cli.progress import LineProgress
from medtranslate.io.atomic import describe_failure
from medtranslate.workflows.interruption import StopRequested

RESUME = "Go on with the same command and --resume"
AGAIN = "Go on with the same command\n"
REMOVE = "Remove what it wrote, then call it again"

COMMANDS = {
    "run p.yaml --data d --out o": RESUME,
    "train p.yaml --data d --out o": RESUME,
    "translate m s --out o": AGAIN,
    "preprocess p.yaml --data d --out o": AGAIN,
    "validate m --data d --out o": AGAIN,
    "bids d o participant --model m": AGAIN,
    "simulate m --data d --at 1y --out o": AGAIN,
    "simulate m b.nii --at 1y --out o": REMOVE,
    "plan d --out o": AGAIN,
    "listen --model m --port 0 --send-to localhost:1": AGAIN,
    "schema": 'Go on with the same command",',  # always as JSON
}


def call(command, monkeypatch, error):
    """Call a command that fails where it first tells how far it is, before torch is loaded."""

    def fail(*_):
        raise error

    for name in ("stage", "tell"):
        monkeypatch.setattr(LineProgress, name, fail)
    words = command.split()
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(("command", "said"), COMMANDS.items())
def test_a_command_that_was_stopped_says_how_it_goes_on(command, said, monkeypatch):
    result = call(command, monkeypatch, StopRequested(signal.SIGTERM))

    assert result.exit_code == 143
    assert f"stopped; what was finished is kept. {said}" in result.output


def test_ctrl_c_says_the_same(monkeypatch):
    result = call("translate m s --out o", monkeypatch, KeyboardInterrupt())

    assert result.exit_code == 130
    assert f"stopped; what was finished is kept. {AGAIN}" in result.output


def test_a_full_disk_says_how_it_goes_on(monkeypatch, tmp_path):
    full = describe_failure(tmp_path / "a", OSError(28, "No space left"), num_bytes=1234)
    result = call("train p.yaml --data d --out o", monkeypatch, full)

    assert result.exit_code == 2
    assert "at least 1,234 bytes needed, " in result.output
    assert RESUME in result.output
