"""What a service manager sees of prelu-serve, and the files that start it elsewhere."""
import os
import shutil
import signal
import socket
import subprocess

import pytest

from conftest import ROOT

WAIT_S = 60


@pytest.mark.parametrize("abstract", [False, True])
def test_a_service_manager_is_told(bin_dir, tmp_path, abstract):
    name = f"@prelu-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0"))
        manager.settimeout(WAIT_S)
        env = {**os.environ, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"}
        process = subprocess.Popen([bin_dir / "prelu-serve", "--port", "0", "--log-level", "error"], env=env)
        try:
            told = [manager.recv(4096) for _ in range(4)]
            process.send_signal(signal.SIGTERM)
            while told[-1] != b"STOPPING=1":
                told.append(manager.recv(4096))
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()
            process.wait()
    assert told[:4] == [b"READY=1"] + 3 * [b"WATCHDOG=1"]
    assert set(told[4:-1]) <= {b"WATCHDOG=1"}


def test_nobody_to_tell(bin_dir, tmp_path):
    env = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "nonsense"}
    done = subprocess.run([bin_dir / "prelu-serve", "--check"], env=env, capture_output=True, timeout=WAIT_S,
                          check=False)
    assert done.returncode == 0


def test_the_unit(bin_dir, tmp_path):
    text = (ROOT / "packaging" / "prelu-serve.service").read_text()
    keys = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    for key, value in {"Type": "notify", "DynamicUser": "yes", "NoNewPrivileges": "yes",
                       "SystemCallFilter": "~@privileged", "CapabilityBoundingSet": ""}.items():
        assert keys[key] == value
    assert int(keys["TimeoutStopSec"]) > 30  # the default --drain-timeout
    unit = tmp_path / "prelu-serve.service"
    unit.write_text(text.replace("ExecStart=prelu-serve", f"ExecStart={bin_dir}/prelu-serve")
                    .replace("man:prelu-serve(1)", "https://example.org/"))
    if shutil.which("systemd-analyze"):  # a container has no systemd
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True,
                              timeout=WAIT_S, check=False)
        assert done.stdout + done.stderr == "" and done.returncode == 0
