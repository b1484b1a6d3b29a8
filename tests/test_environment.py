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
DECLARED = [Requirement(text) for part in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
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
