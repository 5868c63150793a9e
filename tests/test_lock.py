"""The lock files: one build of torch, every pin with its hash, no place of any machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-extras.lock"])
def test_lock_is_hash_pinned_and_names_no_place(name: str) -> None:
    text = (ROOT / name).read_text()
    pins = re.findall(r"^([a-z0-9][\w.\-]*)==([^\s;\\]+)", text, re.MULTILINE)
    versions = dict(pins)
    assert versions["torch"] == "2.13.0" and versions["torchvision"] == "0.28.0", "the pair comes from one build"
    assert "setuptools" in versions, "torch needs it, and a lock with hashes must hold everything"
    assert not re.search(r"://|^-|--find-links|--extra-index-url|\s/", text, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9][\w.\-]*==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins) and all("--hash=sha256:" in block for block in blocks)


def test_every_import_of_the_package_is_declared() -> None:
    declared = (ROOT / "pyproject.toml").read_text().lower()
    names = {
        "cv2": "opencv-python", "PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "hydra": "hydra-core",
        "open_clip": "open_clip_torch", "google": "google-genai", "groundingdino": "groundingdino-py",
        "segment_anything": "segment-anything", "huggingface_hub": "huggingface-hub", "pydantic_core": "pydantic",
        "vl_convert": "vl-convert-python",
    }  # fmt: skip
    import sys

    found = set()
    for path in (ROOT / "benchmark").rglob("*.py"):
        found |= set(re.findall(r"^\s*(?:import|from) ([A-Za-z_0-9]+)", path.read_text(), re.MULTILINE))
    third_party = found - set(sys.stdlib_module_names) - {"benchmark", "tests"}
    missing = {m for m in third_party if names.get(m, m).lower() not in declared}
    assert not missing, f"declare in pyproject.toml: {sorted(missing)}"
