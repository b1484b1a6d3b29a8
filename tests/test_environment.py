"""One lock file pins every environment, and nothing drifts from it."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from rattler import MatchSpec

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
# PyTorch is built for each kind of GPU, and for none: what is right for one machine is not for the next.
NOT_LOCKED = {"measure"}
LOCKED_EXTRAS = sorted(EXTRAS.keys() - NOT_LOCKED)
DECLARED = [Requirement(text) for part in (PROJECT["dependencies"], *(EXTRAS[name] for name in LOCKED_EXTRAS))
            for text in part]  # fmt: skip
LOCKED = [Requirement(line) for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
HERE = {lock.name: lock for lock in LOCKED if lock.marker is None or lock.marker.evaluate()}


@pytest.mark.parametrize("declared", DECLARED, ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_range(declared: Requirement) -> None:
    locks = [lock for lock in LOCKED if lock.name.lower() == declared.name.lower()]
    assert locks, f"{declared.name} is not locked; run make lock"
    for lock in locks:
        (pin,) = lock.specifier
        assert pin.operator == "=="
        assert declared.specifier.contains(pin.version), f"{lock} is outside {declared}; run make lock"


def test_what_a_machine_chooses_is_not_locked() -> None:
    chosen = {Requirement(text).name for name in NOT_LOCKED for text in EXTRAS[name]}
    assert "torch" in chosen and not [lock for lock in LOCKED if lock.name in chosen or lock.name.startswith("nvidia")]


def test_make_lock_locks_every_other_extra() -> None:
    command = re.search(r"^lock:.*\n\t(.*)$", (ROOT / "Makefile").read_text(), re.M)[1]
    assert set(re.findall(r"--extra (\S+)", command)) == set(LOCKED_EXTRAS)


def test_what_is_installed_is_what_is_locked() -> None:
    drifted = {name: version(name) for name, lock in HERE.items() if not lock.specifier.contains(version(name))}
    assert not drifted


def test_conda_environment_installs_the_lock() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert pip == {"pip": ["-r requirements.lock", "-e ."]}
    specs = {spec.name.normalized: spec for spec in (MatchSpec(text) for text in conda)}
    assert set(specs) == {"python", "pip"}
    lowest = re.search(r"([\d.]+)", PROJECT["requires-python"])[1]
    assert str(specs["python"].version).startswith(f">={lowest}")
