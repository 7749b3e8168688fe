"""The command line: each command parses its arguments, calls one workflow and prints the result.

Nothing here imports a deep-learning library before a command needs one.
"""

from medtranslate.cli import ahead, build, ecosystem, look, use  # the commands enter themselves
from medtranslate.cli.app import app, main

__all__ = ["ahead", "app", "build", "ecosystem", "look", "main", "use"]
