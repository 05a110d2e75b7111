"""prelu-train-mpi under mpirun: several processes give what one gives, and none waits for a dead one."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import BIN
from test_eval import MODEL, data, evaluate  # noqa: F401

PROGRAM = BIN / "prelu-train-mpi"
# One machine, shared memory only; more processes than processors, and root, are fine in a test.
# Open MPI itself leaks.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_plm": "isolated", "OMPI_MCA_btl": "self,vader", "ASAN_OPTIONS": "detect_leaks=0",
}


@pytest.fixture
def mpirun():
    """mpirun(*args) -> CompletedProcess; args are mpirun's own, with programs."""

    def run(*args, code=0):
        p = subprocess.run(["mpirun", *map(str, args)], env={**os.environ, **ENVIRONMENT},
                           capture_output=True, text=True, timeout=200, check=False)
        assert p.returncode == code, f"{p.returncode}: {p.stderr}"
        return p

    return run


@pytest.mark.parametrize("processes", [2, 5])
def test_eval(processes, mpirun, evaluate, data, tmp_path):  # noqa: F811
    """The same figures and lines, from however many processes."""
    flags = ["--model", MODEL, "--data", data, "--mode", "center,dense", "--threads", 1, "--json"]
    out = []
    for name, run in (("one", lambda *a: evaluate(*a)),
                      ("many", lambda *a: mpirun("-np", processes, PROGRAM, "eval", *a))):
        if name == "many":
            # every process must have the same command line
            shutil.move(tmp_path / "lines", tmp_path / "one")
        p = run(*flags, "--predictions", tmp_path / "lines", "--html", tmp_path / "page.html")
        figures = json.loads(p.stdout)
        for r in figures["results"]:
            assert all(ms > 0 for ms in r.pop("timing_ms").values())
        out.append(figures)
        for s in figures["skipped"]:
            assert p.stderr.count(f"skipped {s['picture']}") == 1
    assert out[0] == out[1] and len(out[0]["skipped"]) == 2
    assert (tmp_path / "lines").read_bytes() == (tmp_path / "one").read_bytes()


def test_failures_end_all(mpirun, data, tmp_path):  # noqa: F811
    flags = [PROGRAM, "eval", "--model", MODEL, "--threads", 1, "--data"]
    # flags that differ
    p = mpirun("-np", 1, *flags, data, ":", "-np", 1, *flags, data, "--limit", 3, code=64)
    assert "command line of process 1" in p.stderr
    # one process finds another data set under the same name than the other
    for name, classes in (("a", ["cat"]), ("b", ["cat", "dog"])):
        for c in classes:
            shutil.copytree(data / "val" / c, tmp_path / name / "set" / "val" / c)
    args = ["-np", 1, *flags, "set"]
    p = mpirun("--wdir", tmp_path / "a", *args, ":", "--wdir", tmp_path / "b", *args, code=64)
    assert "data set of process 1" in p.stderr
    # a file that only one of them lacks
    shutil.copy(MODEL, tmp_path / "a" / "m.onnx")
    args = ["-np", 1, PROGRAM, "eval", "--model", "m.onnx", "--threads", 1, "--data", data]
    p = mpirun("--wdir", tmp_path / "a", *args, ":", "--wdir", tmp_path / "b", *args, code=66)
    assert "m.onnx" in p.stderr
    p = mpirun("-np", 2, PROGRAM, "describe", "--arch", "A", code=65)
    assert "one process" in p.stderr


def test_one_process_needs_no_mpirun(data, run_program):  # noqa: F811
    p = run_program("prelu-train-mpi", "eval", "--model", MODEL, "--data", data, "--csv", env={**os.environ, **ENVIRONMENT})
    assert p.returncode == 0 and p.stdout.startswith("mode,images")
