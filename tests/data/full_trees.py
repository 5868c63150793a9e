"""Every dataset's exact layout at the full counts of its card, with tiny images."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.data.card import Card
from tests.data.dataset_trees import Linker, option_values, save
from tests.data.mmad_tree import FOLDERS, entries, mmad_tree

WHITE = 255


def mvtec_layout(
    root: Path,
    link: Linker,
    card: Card,
    *,
    good: str = "good",
    suffix: str = "_mask",
    endings: dict[str, str] | None = None,
) -> None:
    for count in card.counts:
        folder, name = root / count.category, f"{count.split}/{good}"
        image, _, mask = (endings or {}).get(count.category, ".png/.png").partition("/")
        for i in range(count.good):
            link(folder / name / f"{i:03}{image}", 40)
        for i in range(count.defective):
            # Two kinds of defect, where the layout has kinds at all.
            kind = "ko" if good == "ok" else ("scratch", "hole")[i % 2]
            link(folder / count.split / kind / f"{i:03}{image}", 40)
            link(folder / "ground_truth" / kind / f"{i:03}{suffix}{mask}", WHITE)


def mvtec(root: Path, link: Linker, card: Card) -> None:
    mvtec_layout(root, link, card)
    (root / "license.txt").write_text("licence")
    (root / "carpet" / "readme.txt").write_text("read me")


def mpdd(root: Path, link: Linker, card: Card) -> None:
    mvtec_layout(root / "MPDD", link, card, endings={"tubes": ".PNG/.PNG"})
    for junk in ("__MACOSX/MPDD/tubes/train/good/._000.png", "MPDD/tubes/test/good/._000.png"):
        (root / junk).parent.mkdir(parents=True, exist_ok=True)
        (root / junk).write_bytes(b"\x00\x05\x16\x07")


def btad(root: Path, link: Linker, card: Card) -> None:
    endings = {"01": ".bmp/.png", "02": ".png/.png", "03": ".bmp/.bmp"}
    mvtec_layout(root / "BTech_Dataset_transformed", link, card, good="ok", suffix="", endings=endings)


def dtd_synthetic(root: Path, link: Linker, card: Card) -> None:
    """Only the sums over the textures are known, so they are shared out evenly here."""
    textures = list(card.categories)
    (count,) = card.counts
    for label, number, kind in (("good", count.good, "good"), ("defective", count.defective, "blotch")):
        for i in range(number):
            folder = root / "DTD-Synthetic" / textures[i % len(textures)]
            link(folder / "test" / kind / f"{i:03}.png", 40)
            if label == "defective":
                link(folder / "ground_truth" / kind / f"{i:03}_mask.png", WHITE)


def as_configured(root: Path, link: Linker, card: Card) -> None:
    """A dataset in MVTec layout that is described by its option and its card alone."""
    values = option_values(card.name)
    assert values["_target_"].endswith(".MvtecLayout"), f"{card.name} has a layout of its own: write its builder here"
    place = root / values["inner"] if values["inner"] else root
    mvtec_layout(place, link, card, good=values["good_names"][0], suffix=values["mask_suffixes"][0])


def mtd(root: Path, link: Linker, card: Card) -> None:
    number = 0
    for count in card.counts:
        for i in range(count.good + count.defective):
            stem = root / count.category / "Imgs" / f"exp{number % 6 + 1}_num_{100 + number}"
            link(f"{stem}.jpg", 40)
            link(f"{stem}.png", WHITE if count.defective and not (count.category == "MT_Uneven" and i < 4) else 0)
            number += 1


def dagm(root: Path, link: Linker, card: Card) -> None:
    for count in card.counts:
        folder = root / "DAGM_KaggleUpload" / count.category / count.split.capitalize()
        lines = ["1"]
        for i in range(1, count.good + count.defective + 1):
            link(folder / f"{i:04}.PNG", 40)
            defective = i <= count.defective
            if defective:
                link(folder / "Label" / f"{i:04}_label.PNG", WHITE)
            lines.append(f"{i}\t{int(defective)}\t{i:04}.PNG\t0\t{f'{i:04}_label.PNG' if defective else '0'}")
        (folder / "Label" / "Labels.txt").write_text("\n".join(lines) + "\t\n")
        (folder / "Thumbs.db").write_bytes(b"thumbs")


def visa(root: Path, link: Linker, card: Card) -> None:
    rows = ["object,split,label,image,mask"]
    next_normal: dict[str, int] = {}
    for count in card.counts:
        data = root / count.category / "Data"
        start = next_normal.get(count.category, 0)
        next_normal[count.category] = start + count.good
        for i in range(start, start + count.good):
            name = f"{count.category}/Data/Images/Normal/{i:04}.JPG"
            link(root / name, 40)
            rows.append(f"{count.category},{count.split},normal,{name},")
        for i in range(count.defective):
            name, mask = f"Images/Anomaly/{i:03}.JPG", f"Masks/Anomaly/{i:03}.png"
            link(data / name, 40)
            link(data / mask, 1 + i % 7)
            rows.append(
                f"{count.category},{count.split},anomaly,{count.category}/Data/{name},{count.category}/Data/{mask}"
            )
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join([rows[0], *reversed(rows[1:])]) + "\n")


def mvtec_loco(root: Path, link: Linker, card: Card) -> None:
    """Masks have levels of their own, every third image has two; validation images and a config lie beside."""
    for count in card.counts:
        folder = root / "mvtec_loco_anomaly_detection" / count.category
        for i in range(count.good):
            link(folder / count.split / "good" / f"{i:03}.png", 40)
        for i in range(count.defective):
            kind = ("logical_anomalies", "structural_anomalies")[i % 2]
            link(folder / "test" / kind / f"{i:03}.png", 40)
            for mask in range(1 + (i % 3 == 0)):
                link(folder / "ground_truth" / kind / f"{i:03}" / f"{mask:03}.png", 236 + mask)
        link(folder / "validation" / "good" / f"{count.good:03}.png", 40)
        (folder / "defects_config.json").write_text("[]")


def mvtec_ad_2(root: Path, link: Linker, card: Card) -> None:
    """Only the sums over the categories are known, so they are shared out evenly; three lights an object."""
    categories = list(card.categories)
    train, test = card.counts
    numbers = {"train/good": train.good, "test_public/good": test.good, "test_public/bad": test.defective}
    numbers |= dict.fromkeys(("validation/good", "test_private", "test_private_mixed"), 16)
    for part, number in numbers.items():
        for i in range(number):
            folder = root / "mvtec_ad_2" / categories[i % len(categories)]
            at = i // len(categories)
            name = f"{at // 3:03}_{('regular', 'overexposed', 'shift_1')[at % 3]}"
            link(folder / part / f"{name}.png", 40)
            if part.endswith("bad"):
                link(folder / "test_public" / "ground_truth" / "bad" / f"{name}_mask.png", WHITE)


def vad(root: Path, link: Linker, card: Card) -> None:
    train, test = card.counts
    for part, number in (("train/good", train.good), ("train/bad", train.defective), ("test/good", test.good),
                         ("test/bad", test.defective - 165), ("test/bad_unseen_defects", 165)):  # fmt: skip
        for i in range(number):
            link(root / "vad" / part / f"{i:04}.png", 40)
    (root / "vad" / "low_shot_train.json").write_text("{}")


def real_iad(root: Path, link: Linker, card: Card) -> None:
    """Two objects of each category, five views each, as the split of all views has them."""
    for category in card.categories:
        split: dict[str, list[dict[str, str | None]]] = {"train": [], "test": []}
        for part, code, place in (("train", "OK", "OK/S0001"), ("test", "HS", "NG/HS/S0002")):
            for view in range(1, 6):
                name = f"{place}/{category}_{place[-4:]}_{code}_C{view}_20231018120000"
                link(root / "realiad_1024" / category / f"{name}.jpg", 40)
                seen = code != "OK" and view < 3
                if seen:
                    link(root / "realiad_1024" / category / f"{name}.png", WHITE)
                split[part].append(
                    {"category": category, "anomaly_class": code if seen else "OK", "image_path": f"{name}.jpg",
                     "mask_path": f"{name}.png" if seen else None}
                )  # fmt: skip
        path = root / "realiad_jsons" / "realiad_jsons" / f"{category}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = {"prefix": f"{category}/", "normal_class": "OK", "pre_transform": []}
        path.write_text(json.dumps({"meta": meta, **split}))


def ksdd2(root: Path, link: Linker, card: Card) -> None:
    number = 10000
    for count in card.counts:
        for i in range(count.good + count.defective):
            link(root / count.split / f"{number + i}.png", 40)
            link(root / count.split / f"{number + i}_GT.png", WHITE if i < count.defective else 0)
        number += 10000


def pets(root: Path, link: Linker, card: Card) -> None:
    cats, dogs = ("Abyssinian", "Bengal", "Sphynx"), ("beagle", "pug")
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    header = ["#Image CLASS-ID SPECIES BREED ID", "#BREED ID: 1-25:Cat 1:12:Dog"]
    numbers = dict.fromkeys((*cats, *dogs), 0)
    for count in card.counts:
        for breeds, species, total in ((cats, 1, count.defective), (dogs, 2, count.good)):
            for i in range(total):
                breed = breeds[i % len(breeds)]
                numbers[breed] += 1
                name = f"{breed}_{numbers[breed]}"
                link(root / "images" / f"{name}.jpg", 40)
                link(root / "annotations" / "trimaps" / f"{name}.png", 1)
                lists["trainval" if count.split == "train" else "test"].append(f"{name} 1 {species} 1")
    for name, rows in lists.items():
        (root / "annotations" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    whole = [*header, *lists["trainval"], *lists["test"]]
    (root / "annotations" / "list.txt").write_text("\n".join(whole) + "\n")
    # What the folder holds beside the lists.
    Image.new("P", (3, 2)).save(root / "images" / "Abyssinian_9934.jpg", format="GIF")
    link(root / "annotations" / "trimaps" / "Abyssinian_9934.png", 2)
    (root / "images" / "Abyssinian_100.mat").write_bytes(b"MATLAB")
    (root / "annotations" / "trimaps" / "._Abyssinian_1.png").write_bytes(b"\x00\x05\x16\x07")
    Image.new("RGBA", (3, 2)).save(root / "images" / "Sphynx_1.png")
    (root / "images" / "Sphynx_1.png").replace(root / "images" / "Sphynx_1.jpg")


def ksdd1(root: Path, link: Linker, card: Card) -> None:
    """50 items of 8 parts, 7 in kos21; one defective part each, two in kos38 and kos39; two pairs of equal items."""
    random = np.random.default_rng(0)
    same = {26: 1, 34: 27}
    for item in range(1, 51):
        folder = root / "KolektorSDD" / f"kos{item:02}"
        for part in range(7 if item == 21 else 8):
            image = folder / f"Part{part}.jpg"
            if item in same:
                image.parent.mkdir(parents=True, exist_ok=True)
                image.write_bytes((root / "KolektorSDD" / f"kos{same[item]:02}" / image.name).read_bytes())
            else:
                save(image, random.integers(0, 255, (6, 4), dtype=np.uint8))
            marked = part == item % 5 or (item in (38, 39) and part == 7)
            # In two items the defect reaches over the border of two thirds (rows 1 and 2 of 6).
            rows = [1, 2] if item in (10, 20) else [item % 6]
            _palette_mask(folder / f"Part{part}_label.bmp", rows=rows if marked else [])
    # What one public copy adds: a byte copy of a part, and an item inside another one.
    item = root / "KolektorSDD" / "kos21"
    for ending in (".jpg", "_label.bmp"):
        (item / f"Part7{ending}").write_bytes((item / f"Part6{ending}").read_bytes())
        stray = root / "KolektorSDD" / "kos13" / "kos08" / f"Part0{ending}"
        stray.parent.mkdir(exist_ok=True)
        stray.write_bytes((root / "KolektorSDD" / "kos08" / f"Part0{ending}").read_bytes())


def _palette_mask(path: Path, *, rows: list[int]) -> None:
    """Defective parts have a palette mask with white at index 2, the others a grey one of zeros."""
    mask = Image.new("P" if rows else "L", (4, 6))
    if rows:
        mask.putpalette([0, 0, 0, 85, 85, 85, 255, 255, 255])
    for row in rows:
        mask.putpixel((2, row), 2)
    mask.save(path)


def mmad(root: Path, link: Linker, card: Card) -> None:
    """As many images of each subset, as only their sum is known."""
    total = card.total or 0
    content = dict(islice(entries(-(-total // len(FOLDERS))), total))
    mmad_tree(root, content, write=lambda path, _: link(path, 40))


BUILDERS: dict[str, Callable[[Path, Linker, Card], None]] = {
    build.__name__: build
    for build in (
        mvtec,
        mpdd,
        btad,
        dtd_synthetic,
        mtd,
        dagm,
        visa,
        ksdd2,
        pets,
        ksdd1,
        mvtec_loco,
        mvtec_ad_2,
        vad,
        real_iad,
        mmad,
    )
}
