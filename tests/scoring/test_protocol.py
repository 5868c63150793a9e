"""Protocols as data: presets, hashes, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from benchmark.scoring.protocol import Protocol
from tests.harness import option
from tests.protocols import protocol

PRESETS = ("default", "domain_gap", "saa_plus", "iap_as", "anomalyvlm")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_knows_every_field(name):
    assert set(option("protocol", name)) == set(Protocol.model_fields)
    protocol(name)


def test_presets_differ_in_hash():
    assert len({protocol(n).hash for n in PRESETS}) == len(PRESETS)


def test_the_hash_moves_with_every_field():
    changes = {
        "size": (64, 64),
        "interpolation": "cubic",
        "mask_threshold": 128,
        "border": "background",
        "include_good": False,
        "defective_only_datasets": ("a",),
        "label_from": "mask",
        "pooling": "image",
        "averaging": "images",
        "pooled": False,
        "f1_thresholds": "linspace100",
        "iou_threshold": 0.5,
        "normalisation": "image",
        "failures": "exclude",
        "aupro_limit": 0.05,
        "resamples": 10,
        "confidence": 0.9,
    }
    assert set(changes) == set(Protocol.model_fields)
    plain = protocol()
    for name, value in changes.items():
        assert protocol(**{name: value}).hash != plain.hash, name


def test_presets_say_what_their_papers_do():
    saa, iap, gap, vlm = (protocol(n) for n in ("saa_plus", "iap_as", "domain_gap", "anomalyvlm"))
    assert (saa.size, saa.mask_threshold, saa.include_good, saa.headline) == ((400, 400), 0, True, "mean")
    assert (iap.size, iap.interpolation, iap.mask_threshold, iap.f1_thresholds) == (
        (400, 400),
        "cubic",
        128,
        "linspace100",
    )
    assert (gap.size, gap.include_good, gap.headline) == (None, False, "pooled")
    assert (vlm.size, vlm.label_from) == ((256, 256), "mask")


def test_iap_as_and_its_exact_form_differ_in_how_ties_are_kept():
    exact, released = protocol("iap_as_exact"), protocol("iap_as")
    assert (exact.interpolation, exact.normalisation, exact.f1_thresholds) == ("nearest", "none", "exact")
    assert (released.normalisation, released.per_image, released.per_category) == ("image_and_category", True, True)
    assert (exact.size, exact.mask_threshold) == (released.size, released.mask_threshold) == ((400, 400), 128)


def test_some_datasets_are_scored_on_defective_images_only():
    iap = protocol("iap_as")
    assert iap.for_dataset("mvtec").include_good
    assert not iap.for_dataset("dagm").include_good
    assert iap.for_dataset(None).include_good


@pytest.mark.parametrize(
    "wrong",
    [
        {"interpolation": "lanczos"},
        {"size": [400]},
        {"mask_threshold": 255},
        {"aupro_limit": 0.0},
        {"confidence": 1.0},
        {"resamples": -1},
        {"mask_treshold": 0},
    ],
)
def test_wrong_fields_are_refused(wrong):
    with pytest.raises(ValidationError):
        protocol(**wrong)
