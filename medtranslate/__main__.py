"""Run the command line as ``python -m medtranslate``."""

from medtranslate.cli import main

if __name__ == "__main__":
    main()
