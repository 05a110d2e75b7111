"""What the end-to-end tests share: the programs of the build under test and the sample pictures.

PRELU_BIN names the folder of the programs (default: build/bin); ctest sets it.
"""
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("PRELU_BIN", ROOT / "build" / "bin"))


@pytest.fixture(scope="session")
def bin_dir():
    """Folder of prelu-train, prelu-serve, prelu-classify."""
    return BIN


@pytest.fixture(scope="session")
def samples():
    """Folder of the sample pictures, cat.jpg among them."""
    return ROOT / "docs" / "samples"


@pytest.fixture(scope="session")
def bundled_model():
    """The model that prelu-serve serves by default."""
    return ROOT / "models" / "pretrained" / "cifar10.onnx"


@pytest.fixture(scope="session")
def run_program():
    """run_program(name, *args, timeout=200, **kw) -> CompletedProcess with text output."""

    def run(name, *args, timeout=200, **kw):
        command = [str(BIN / name), *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, **kw
        )

    return run
