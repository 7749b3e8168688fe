"""Make the virtual environment that the Makefile works in; standard library only.

Usage: python3 .ci/install.py FOLDER EXTRAS

Everything comes from the package index that pip is set up with, at the versions of
constraints.txt. On Linux the default build of torch brings gigabytes of CUDA libraries, so a
machine without an NVIDIA GPU is given the CPU build: from pip's own index where that has it, else
from PyTorch's CPU index.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
TORCH_CPU_INDEX = os.environ.get("TORCH_CPU_INDEX", "https://download.pytorch.org/whl/cpu")


def main() -> None:
    """Make or complete the environment in the folder that the first argument names."""
    folder, extras = Path(sys.argv[1]), sys.argv[2]
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever runs this may have an older one
        sys.exit(
            f"medtranslate needs Python 3.11 or newer; {sys.executable} is "
            f"{sys.version.split()[0]}. Name another with: make PYTHON=/path/to/python3.12 ..."
        )
    python = folder / "bin" / "python"
    if not python.exists() or run(python, "-m", "pip", "--version", check=False, quiet=True):
        make_environment(folder)
    install(python, "pip", "setuptools")
    install_torch(python)
    install(python, "--no-build-isolation", "--editable", f"{ROOT}[{extras}]")
    refuse_cuda(python)


def make_environment(folder: Path) -> None:
    """Make an empty virtual environment that has pip."""
    if importlib.util.find_spec("ensurepip") is None:
        install_system_packages()
    say(f"making {folder} with Python {sys.version.split()[0]}")
    run(Path(sys.executable), "-m", "venv", "--clear", str(folder))


def install_system_packages() -> None:
    """Debian splits ensurepip off; root may install it here, others are told how."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        sys.exit(
            "this Python cannot make virtual environments (no ensurepip). Install what is missing "
            "with: sudo make system   (on Debian and Ubuntu: apt-get install python3-venv)"
        )
    say("this Python has no ensurepip; running: make system")
    run(Path(shutil.which("make") or "make"), "--directory", str(ROOT), "system")


def install_torch(python: Path) -> None:
    """Install the pinned torch before anything else can ask for another build of it."""
    pin = next(line for line in CONSTRAINTS.read_text().split() if line.startswith("torch=="))
    if sys.platform != "linux" or has_gpu():
        install(python, pin)
        return
    say(f"no NVIDIA GPU here: asking the package index for the CPU build of {pin}")
    if install(python, f"{pin}+cpu", check=False):
        say(f"not there; taking it from {TORCH_CPU_INDEX} (TORCH_CPU_INDEX=... names another)")
        install(python, "--no-deps", "--index-url", TORCH_CPU_INDEX, f"{pin}+cpu")
        install(python, f"{pin}+cpu")


def has_gpu() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def refuse_cuda(python: Path) -> None:
    """Stop if CUDA libraries came along on a machine that cannot use them."""
    if has_gpu():
        return
    listing = subprocess.run(
        [python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True, check=True
    )
    cuda = [line for line in listing.stdout.split() if line.startswith(("nvidia-", "cuda-"))]
    if cuda:
        sys.exit(f"CUDA packages were installed though there is no GPU: {', '.join(cuda)}")
    say("installed; no CUDA package among them")


def install(python: Path, *what: str, check: bool = True) -> int:
    """Install with pip at the pinned versions."""
    return run(python, "-m", "pip", "install", "--constraint", str(CONSTRAINTS), *what, check=check)


def run(program: Path, *arguments: str, check: bool = True, quiet: bool = False) -> int:
    """Run a program; stop with its exit code if it fails and ``check`` is set."""
    output = subprocess.DEVNULL if quiet else None
    code = subprocess.run([program, *arguments], stdout=output, stderr=output).returncode
    if code and check:
        sys.exit(code)
    return code


def say(message: str) -> None:
    """Tell what happens next."""
    print(f"==> {message}", flush=True)  # noqa: T201 - the only voice of this program


if __name__ == "__main__":
    main()
