"""The command line of ``run_official.py``: what cannot be run is refused in one line before a network is made."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

REPOSITORIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "saa_plus": (
        "caoyunkang/Segment-Any-Anomaly, branch SAA-plus",
        ("SAA/model.py", "SAM/segment_anything/__init__.py", "GroundingDINO/groundingdino/__init__.py"),
    ),
    "iap_as": ("sybeam27/IAP-ZSAS", ("utils/function.py", "SegmentAnything/utils/metrics.py")),
    "groundingdino_sam": ("Douglas2Code/Text2Seg", ("text2seg/text2seg.py",)),
    "sam_clip": ("Douglas2Code/Text2Seg", ("text2seg/text2seg.py",)),
    "clip_surgery_sam": ("xmed-lab/CLIP_Surgery", ("demo.py", "clip/build_model.py")),
    "clip_surgery_sam_text2seg": ("Douglas2Code/Text2Seg", ("text2seg/text2seg.py",)),
    "winclip": (
        "zqhang/Accurate-WinCLIP-pytorch",
        ("reproduce_WinCLIP.py", "src/open_clip/__init__.py"),
    ),
    "sdp": ("ByChelsea/CLIP-AD", ("test.py", "open_clip/__init__.py", "util/prompt_ensemble.py")),
    "clipseg": ("timojl/clipseg", ("models/clipseg.py",)),
}
"""The official repository of each method, and files that it has."""
GROUNDINGDINO = ("IDEA-Research/GroundingDINO", ("groundingdino/models/GroundingDINO/groundingdino.py",))
CLIP_SURGERY = ("xmed-lab/CLIP_Surgery", ("clip/build_model.py",))
ASK_CLIP = ("sam_clip", "clip_surgery_sam_text2seg", "clipseg")
"""Methods whose official code imports OpenAI's ``clip`` and lacks it."""
DETECTING = ("saa_plus", "iap_as", "groundingdino_sam")
ONLY = {
    "groundingdino": ("iap_as",),
    "clip_surgery": ASK_CLIP,
    "shots": ("winclip",),
    "between": ("saa_plus",),
    "input": DETECTING,
    "kernels": DETECTING,
}
"""Options that other methods have no use for."""


def read(description: str | None, words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options; what is wrong with them ends the program with one line and status 2."""
    parser = argparse.ArgumentParser(
        usage="%(prog)s METHOD CHECKOUT [options]; --help lists them",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("method", choices=REPOSITORIES)
    parser.add_argument("checkout", type=Path, help="the official repository")
    parser.add_argument("--images", nargs="+", default=[], help="files, or folders of them")
    parser.add_argument("--number", type=int, default=20, help="of drawn images")
    parser.add_argument("--prompts", type=Path, help="one a line, or a YAML list")
    parser.add_argument(
        "--odd", action="store_true", help="a dozen images of extreme shapes, rarer files, odder prompts"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and drawn images")
    parser.add_argument("--size", choices=["tiny", "full"], default="tiny")
    parser.add_argument("--kernels", choices=["fast", "library"], help="of our detector; default: as the option has it")
    parser.add_argument("--groundingdino", type=Path, help="checkout of IDEA-Research/GroundingDINO, for iap_as")
    parser.add_argument("--clip_surgery", type=Path, help="checkout of xmed-lab/CLIP_Surgery, for OpenAI's clip")
    parser.add_argument("--shots", type=int, default=0, help="good images that winclip learns from")
    parser.add_argument("--input", nargs=2, type=int, metavar=("SHORT", "LONG"), help="sides of the detector's input")
    parser.add_argument("--between", type=int, help="side of the square on which saa_plus compares several objects")
    parser.add_argument("--boxes", type=int, help="of saa_plus's object that pass; default: two fifths of all")
    parser.add_argument("--keep", type=Path, help="file to add a line of this run to, for --table FILE")
    parser.add_argument("--traceback", action="store_true", help="where a side ends in an error, print it whole")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(words)
    fault = fault_of(options)
    if fault is not None:
        parser.error(fault)
    return options


def fault_of(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the options, where something is."""
    for name, methods in ONLY.items():
        if getattr(options, name) and options.method not in methods:
            return f"--{name} is for {', '.join(methods)}"
    if options.odd and (options.images or options.prompts):
        return "--odd brings images and prompts of its own: leave out --images and --prompts"
    for name, least in {"number": 1, "seed": 0, "shots": 0, "threads": 1, "between": 16, "boxes": 1}.items():
        if getattr(options, name) is not None and getattr(options, name) < least:
            return f"--{name} {getattr(options, name)}: at least {least}"
    if options.input and not 0 < options.input[0] <= options.input[1]:
        return "--input takes the short side, then the longest that the long side may be, in pixels"
    if options.keep and (options.keep.is_dir() or not options.keep.absolute().parent.is_dir()):
        return f"--keep {options.keep}: give a file in a folder that exists"
    if options.method in ASK_CLIP and options.clip_surgery is None:
        return f"{options.method} needs OpenAI's clip: give --clip_surgery, a checkout of {CLIP_SURGERY[0]}"
    given = [(options.checkout, REPOSITORIES[options.method])]
    given += [(options.groundingdino, GROUNDINGDINO)] if options.groundingdino else []
    given += [(options.clip_surgery, CLIP_SURGERY)] if options.clip_surgery else []
    return next((fault for folder, known in given if (fault := no_checkout(folder, *known))), None)


def no_checkout(folder: Path, repository: str, files: Sequence[str]) -> str | None:
    """Return why a folder is no checkout of a repository, where it is none."""
    if not folder.is_dir():
        return f"no such folder: {folder}"
    missing = [file for file in files if not (folder / file).is_file()]
    return f"{folder} is no checkout of {repository}: it has no {', no '.join(missing)}" if missing else None
