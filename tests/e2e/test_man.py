"""The manual pages: nothing for groff to complain of, and nothing of --help left out."""
import re
import subprocess

import pytest

PROGRAMS = {"prelu-serve": [], "prelu-classify": ["bench"],
            "prelu-train": ["fit", "eval", "report", "describe", "init", "run", "bench"]}


@pytest.fixture(params=PROGRAMS)
def program(request):
    return request.param


@pytest.fixture
def page(program, bin_dir):
    return bin_dir.parent / "man" / f"{program}.1"


def groff(page, *options):
    return subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-P-cbou", *options, page],
                          capture_output=True, text=True, timeout=60, check=False)


def test_no_warnings(page):
    done = groff(page, "-z")
    assert done.returncode == 0 and done.stderr == ""


def test_every_option_is_in_the_page(program, page, run_program):
    text = re.sub(r"[‐−]", "-", groff(page).stdout)
    helps = [run_program(program, "--help").stdout]
    for command in PROGRAMS[program]:
        helps.append(run_program(program, command, "--help").stdout)
    flags = {flag for h in helps for flag in re.findall(r"^  .*?(--[a-z0-9-]+)", h, re.M)}
    assert len(flags) > 15
    missing = [flag for flag in flags if not re.search(rf"{flag}(?![a-z-])", text)]
    assert not missing


def test_parts(program, page):
    text = groff(page).stdout
    heads = re.findall(r"^[A-Z][A-Z ]+$", text, re.M)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "SEE ALSO"]
    assert [h for h in heads if h in wanted] == wanted
    for command in PROGRAMS[program]:
        assert f"COMMAND {command.upper()}" in heads
    assert f"{program} " in text
