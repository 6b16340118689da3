"""The project's license, as its file and its package metadata state it."""

import hashlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPYRIGHT = "Copyright The EACPS Authors"
# Of the terms as the Apache Software Foundation publishes them, with its placeholders for year and owner.
TERMS_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_license_is_apache_2_in_full() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="ascii")
    assert COPYRIGHT in text
    published = text.replace(COPYRIGHT, "Copyright [yyyy] [name of copyright owner]")
    assert hashlib.sha256(published.encode()).hexdigest() == TERMS_SHA256


def test_the_package_names_the_license_and_carries_its_text() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]
    assert not [line for line in project.get("classifiers", []) if line.startswith("License")]
