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
    """The small one of the models that come with the programs."""
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


@pytest.fixture(scope="session")
def program(bin_dir):
    return bin_dir / "prelu-serve"


@pytest.fixture(scope="session")
def model(tmp_path_factory, run_program):
    """An untrained net for 32x32 pictures: what it answers is wrong, but always the same."""
    given = os.environ.get("PRELU_TEST_MODEL")
    if given:
        return pathlib.Path(given)
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    r = run_program("prelu-train", "init", "--arch", "cifar", "--width", 0.25, "--seed", 1, "--out", path)
    assert r.returncode == 0, r.stderr
    return path


@pytest.fixture(scope="session")
def server(program, model, tmp_path_factory):
    from serving import Server
    s = Server(program, tmp_path_factory.mktemp("server"), "--model", f"small={model}",
               "--max-pixels", "2MP")
    yield s
    code = s.stop()
    s.close()
    assert code == 0, s.text()
    s.check_sanitizers()


@pytest.fixture
def own_server(program, model, tmp_path):
    """own_server(*flags): a server that the test may stop."""
    from serving import Server
    started = []

    def start(*flags, **kw):
        s = Server(program, tmp_path, "--model", model, *flags, **kw)
        started.append(s)
        return s

    yield start
    for s in started:
        s.close()
        s.check_sanitizers()
