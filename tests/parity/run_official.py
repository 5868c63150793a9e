"""Run a method beside its official code, on the same random weights, and print how the two differ.

    python tests/parity/run_official.py METHOD CHECKOUT [--images FILE …] [--prompts FILE] [--seed 0] [--size full]
    python tests/parity/run_official.py --table RUNS    # the README's table of the runs that --keep RUNS has kept

CHECKOUT is a folder with the official repository: nothing is fetched, and nothing of it is part of this project.

    saa_plus   caoyunkang/Segment-Any-Anomaly, branch SAA-plus
    iap_as     sybeam27/IAP-ZSAS; with --groundingdino a checkout of IDEA-Research/GroundingDINO, which it needs and
               lacks, else the installed groundingdino-py stands in (it spells [CLS], as the copy in SAA does)
    groundingdino_sam   Douglas2Code/Text2Seg, on the installed groundingdino-py
    sam_clip, clip_surgery_sam_text2seg   Douglas2Code/Text2Seg, with --clip_surgery
    clip_surgery_sam    xmed-lab/CLIP_Surgery: its demo
    winclip             zqhang/Accurate-WinCLIP-pytorch, zero-shot; few-shot with --shots
    sdp                 ByChelsea/CLIP-AD
    clipseg             timojl/clipseg, with --clip_surgery

--clip_surgery is a checkout of xmed-lab/CLIP_Surgery, which has a copy of OpenAI's ``clip`` too. Libraries that the
official codes import for other purposes need not be installed: what is missing is stood in for (``Absent``).

Without ``--images`` images of many shapes and modes are drawn, without ``--prompts`` odd ones are asked. ``--size
tiny`` are small networks of the real classes, ``full`` the published sizes (GroundingDINO Swin-T, SAM ViT-B, CLIP
ViT-B/16, for WinCLIP and SDP ViT-B/16+); both with random weights by ``--seed``. A side is a process of its own. Where
one of them ends in an error the table says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmark.core.errors import BenchmarkError, reason  # noqa: E402
from tests.parity.official import arguments, cases, found, networks, summary  # noqa: E402
from tests.parity.official.found import Found  # noqa: E402

GROUNDED, TEXT2SEG, PLUS = ("theirs_grounded", "ours"), ("theirs_text2seg", "ours_clip"), ("theirs_clip", "ours_clip")
METHODS = {
    "saa_plus": GROUNDED,
    "iap_as": GROUNDED,
    "groundingdino_sam": ("theirs_text2seg", "ours"),
    "sam_clip": TEXT2SEG,
    "clip_surgery_sam": TEXT2SEG,
    "clip_surgery_sam_text2seg": TEXT2SEG,
    "winclip": PLUS,
    "sdp": PLUS,
    "clipseg": ("theirs_clipseg", "ours_clip"),
}
"""The modules of both sides."""
BEYOND = 1e-4
"""Pixels that differ by more are counted."""
WORD = "part"
GRID = {
    "tiny": {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.5, "box_nms_thresh": 1.0},
    "full": {"points_per_side": 2, "pred_iou_thresh": -10.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0},
}
"""Of the masks that SAM finds for ``sam_clip``: limits that masks of random weights pass, and so few that
one is likelier than the 0.05 that its code asks for."""


def make_cases(
    method: str, images: Sequence[Path], prompts: Sequence[dict[str, Any]], *, shots: int = 0
) -> list[dict[str, Any]]:
    """Return one case an image, its prompt taken in turn."""
    if method in ("winclip", "sdp"):
        make = partial(_category_case, shots=shots)
    else:
        make = {"saa_plus": _saa_case, "iap_as": _iap_case}.get(method, _text_case)
    return [make(i, str(path), prompts[i % len(prompts)], images) for i, path in enumerate(images)]


def _saa_case(number: int, image: str, asked: dict[str, Any], _: Sequence[Path]) -> dict[str, Any]:
    general = [(f"{what} on {WORD}", WORD) for what in ("defect", "damage", "flaw")]
    return {
        "image": image,
        "word": WORD,
        "questions": [*general, (asked["text"], asked.get("drop", "crack"))],
        "object": asked.get("object", f"{WORD},"),
        "number": int(asked.get("objects", 1)),
        "k": 5,
        "area": 0.95,
    }


def _iap_case(number: int, image: str, asked: dict[str, Any], images: Sequence[Path]) -> dict[str, Any]:
    return {"image": image, "good": str(images[(number + 1) % len(images)]), **asked}


def _category_case(
    number: int, image: str, asked: dict[str, Any], images: Sequence[Path], *, shots: int
) -> dict[str, Any]:
    good = [str(images[(number + i) % len(images)]) for i in range(1, shots + 1)]
    return {"image": image, "category": asked["text"], "good": good}


def _text_case(number: int, image: str, asked: dict[str, Any], _: Sequence[Path]) -> dict[str, Any]:
    return {"image": image, "texts": [asked["text"], "dent"][: 1 + number % 2]}


def write_weights(method: str, work: Path, size: networks.Size, seed: int) -> None:
    """Write the random weights that a method needs."""
    if method in ("saa_plus", "iap_as", "groundingdino_sam"):
        networks.vocabulary(work, size)
        networks.detector(work, size, seed=seed)
    elif method == "clipseg":
        networks.clipseg(work, seed=seed)
    else:
        networks.clip(work, (networks.PLUS if method in ("winclip", "sdp") else networks.CLIP)[size], seed=seed)
    if method not in ("winclip", "sdp", "clipseg"):
        networks.sam(work, size, seed=seed)
    if method == "saa_plus":
        networks.saliency(work, seed=seed)


def run_side(side: str, work: Path, threads: int) -> tuple[list[Found], float]:
    """Run a side in its own process, and read what it found; where it ends in an error, so does the program."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(threads)}
    words = [sys.executable, __file__, "--side", side, str(work)]
    status = subprocess.run(words, cwd=ROOT, env=environment, check=False).returncode
    if status:
        raise SystemExit(f"the {side} side was ended by signal {-status}" if status < 0 else status)
    return found.load(work, side)


def carry_out(side: str, work: Path) -> None:
    """Be a side: read the spec, run, and write what was found."""
    warnings.simplefilter("ignore")
    spec = json.loads((work / "spec.json").read_text(encoding="utf-8"))
    start = time.perf_counter()
    try:
        answers = _answers(side, work, spec)
    except Exception as error:
        if spec["traceback"]:
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise SystemExit(
            f"{side} side: {type(error).__name__}: {reason(error)} ({frame.filename}:{frame.lineno}); "
            "--traceback prints the way there"
        ) from None
    found.save(work, side, answers, time.perf_counter() - start)


def _answers(side: str, work: Path, spec: dict[str, Any]) -> list[Found]:
    import torch

    torch.set_num_threads(spec["threads"])
    theirs, ours = (importlib.import_module(f"tests.parity.official.{name}") for name in METHODS[spec["method"]])
    if side == "ours":
        mine: list[Found] = getattr(ours, spec["method"])(work, spec, found.load(work, "official")[0])
        return mine
    run: Callable[..., list[Found]] = getattr(theirs, spec["method"])
    return run(Path(spec["checkout"]), work, spec)


def compare(method: str, case: dict[str, Any], official: Found, ours: Found) -> dict[str, Any]:
    """Return a row of the table."""
    row: dict[str, Any] = {"case": Path(case["image"]).name, "size": "", "found": len(official.scores)}
    if official.stopped is not None:
        return row | {"note": f"official stops: {official.stopped}"}
    if ours.stopped is not None:
        return row | {"note": f"ours stops: {ours.stopped}", "known": ""}
    notes = [
        f"{name}: {official.facts[name]!r}, ours {ours.facts[name]!r}"
        for name in official.facts.keys() & ours.facts.keys()
        if not _same(official.facts[name], ours.facts[name])
    ]
    if ours.scores and len(ours.scores) == len(official.scores):
        row["scores"] = float(np.abs(np.array(ours.scores) - np.array(official.scores)).max())
    elif ours.scores:
        notes.append(f"{len(official.scores)} scores, ours {len(ours.scores)}")
    for kind in ("map", "mask"):
        a, b = getattr(official, kind), getattr(ours, kind)
        if a is None or b is None:
            continue
        row["size"] = f"{a.shape[1]} x {a.shape[0]}"
        if a.shape != b.shape:
            notes.append(f"{kind} {a.shape}, ours {b.shape}")
        elif kind == "map":
            gap = np.abs(a.astype(np.float64) - b)
            row |= {"map": float(gap.max()), "beyond": int((gap > BEYOND).sum()), "span": float(np.ptp(a))}
        else:
            row["mask"] = int((a != b).sum())
    good = case.get("good", [])
    files = [case["image"], *([good] if isinstance(good, str) else good)]
    return row | {"note": "; ".join(notes), "known": read_otherwise(method, files)}


def _same(one: Any, two: Any) -> bool:
    """Whether two facts are equal; numbers, which are rounded, in all but their last digit."""
    if isinstance(one, float) and isinstance(two, int | float):
        return abs(one - two) <= 2e-5
    return bool(one == two)


def read_otherwise(method: str, files: Sequence[str]) -> str:
    """Say which files we read otherwise than the official code on purpose, as the comment on the option says."""
    from PIL import Image

    found = []
    for file in dict.fromkeys(files):
        with Image.open(file) as image:
            if image.mode.startswith("I;16"):
                found.append("16-bit")
            if method == "saa_plus" and (image.format, image.mode) == ("JPEG", "CMYK"):
                found.append("CMYK JPEG")
    return ", ".join(dict.fromkeys(found))


def label_of(options: argparse.Namespace, asked: Sequence[dict[str, Any]]) -> str:
    """Name a run in the table of many."""
    parts = [f"`{options.method}`"]
    parts += [f"{options.shots} shots"] if options.shots else []
    if any(case.get("number", 1) > 1 for case in asked):
        parts.append(f"several objects, compared at {options.between or networks.BETWEEN[options.size]} pixels")
    parts += ["detector's input {} to {} pixels".format(*options.input)] if options.input else []
    parts += [f"{options.boxes} boxes of the object's prompt"] if options.boxes else []
    parts += [f"kernels={options.kernels}"] if options.kernels else []
    parts += ["images given"] if options.images else []
    if options.method == "iap_as":
        parts.append("GroundingDINO's repository" if options.groundingdino else "groundingdino-py")
    return ", ".join(parts)


def main() -> None:
    """Run both sides and print the table."""
    if sys.argv[1:2] == ["--side"]:
        carry_out(sys.argv[2], Path(sys.argv[3]))
        return
    if sys.argv[1:2] == ["--table"]:
        if len(sys.argv) != 3:
            raise SystemExit("--table takes one file, which --keep made")
        print(summary.table(Path(sys.argv[2])))
        return
    options = arguments.read(__doc__)
    try:
        both_sides(options)
    except (BenchmarkError, ImportError) as error:
        if options.traceback:
            raise
        raise SystemExit(f"{type(error).__name__}: {reason(error)}") from None


def both_sides(options: argparse.Namespace) -> None:
    """Make the cases and the weights, run both sides, print how they differ and keep it."""
    beside = {"groundingdino": options.groundingdino, "clip_surgery": options.clip_surgery}
    if options.method == "clip_surgery_sam":
        beside["clip_surgery"] = options.checkout
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.odd:
            images, prompts = cases.odd(work / "images"), cases.odd_asked(options.method)
        else:
            prompts = cases.asked(options.method, options.prompts)
            images = cases.images_of(options.images, work / "images", number=options.number, seed=options.seed)
        if options.shots >= len(images):
            raise SystemExit(f"--shots {options.shots} takes {options.shots + 1} images: there are {len(images)}")
        asked = make_cases(options.method, images, prompts, shots=options.shots)
        write_weights(options.method, work, options.size, options.seed)
        given = ("method", "size", "kernels", "boxes", "threads", "traceback")
        spec = {
            **{name: getattr(options, name) for name in given},
            "checkout": str(options.checkout.resolve()),
            **{name: given and str(given.resolve()) for name, given in beside.items()},
            "grid": GRID[options.size],
            "input": options.input or networks.INPUT[options.size],
            "between": options.between or networks.BETWEEN[options.size],
            "cases": asked,
        }
        (work / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
        official, slow = run_side("official", work, options.threads)
        ours, quick = run_side("ours", work, options.threads)
        rows = [compare(options.method, *three) for three in zip(asked, official, ours, strict=True)]
    summary.print_table(rows)
    if options.keep:
        run = {"label": label_of(options, asked), "size": options.size, "seed": options.seed}
        summary.keep(options.keep, summary.summary(rows, **run, seconds=[round(slow, 1), round(quick, 1)]))
    print(f"seconds, loading included: official {slow:.1f}, ours {quick:.1f}")


if __name__ == "__main__":
    main()
