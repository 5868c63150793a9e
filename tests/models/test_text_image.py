"""One contract for every text-image network by name, and each against its own library's answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from benchmark.config.options import options
from benchmark.config.schema import option_settings
from benchmark.core.errors import ConfigError, WeightsError
from benchmark.core.samples import Manifest
from benchmark.models import pretrained
from benchmark.models.choice import Networks, choose
from benchmark.models.clip_windows import window_places, window_vectors
from benchmark.models.hf_clip import CLASSES, SIGMOID, HfClip
from benchmark.models.open_clip_model import OpenClip
from benchmark.models.text_image import TextImage, TextImageNetwork
from benchmark.models.weights_file import read_state
from benchmark.pipelines.sam_clip import pair_probabilities
from benchmark.stages.context import Context, clear_models
from benchmark.stages.store import Store
from benchmark.weights.shards import INDEX
from tests.harness import compose
from tests.models.clip_models import KINDS, WITH_CLASS_TOKEN, write_clip, write_open_clips
from tests.parity.toys import picture
from tests.tiny_models import one_thread  # noqa: F401

SLOW = ("altclip", "chinese_clip", "metaclip_2")
EACH = [pytest.param(kind, marks=pytest.mark.slow) if kind in SLOW else kind for kind in KINDS]
PICTURES = [picture(number) for number in (0, 1, 4)]
TEXTS = ["A Hole", "crack"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("clips")
    return {kind: write_clip(root / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def open_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_open_clips(tmp_path_factory.mktemp("open_clips"))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    manifest = Manifest(dataset="none", samples=())
    yield Context(manifest=manifest, samples=(), store=Store(tmp_path), workers=0)
    clear_models()


def option(name: str, model: Path | str, *words: str) -> TextImage:
    """The option as a pipeline gets it."""
    chosen = (f"clip@pipeline.clip={name}", f"pipeline.clip.model={model}")
    composed, _ = compose("pipeline=winclip", *chosen, *words)
    found = option_settings("pipeline", composed["pipeline"]).clip  # type: ignore[attr-defined]
    assert isinstance(found, TextImage)
    return found


def loaded(context: Context, settings: TextImage) -> TextImageNetwork:
    return settings.load(context, choose(context, Networks(wanted=settings.wanted()), pipeline="winclip"))


def read_alike(network: TextImageNetwork, long: str) -> None:
    """Of a text that is too long only the beginning is read, with an end token behind it, and the rest is told."""
    texts = [long, f"{long} and on", long[:6]]
    read = network.text_vectors(texts, long_texts="truncate")
    np.testing.assert_allclose(read[0], read[1], atol=2e-6)
    assert np.abs(read[0] - read[2]).max() > 1e-4
    note = network.reader.check([*texts[:2], "a"], "truncate")
    assert note is not None and "left out: '" in note and "left out: ''" not in note and "of 1 more" in note
    assert network.reader.check(["a"], "refuse") is None
    np.testing.assert_allclose(
        network.text([long], long_texts="truncate"), read[0] / np.linalg.norm(read[0]), atol=1e-5
    )


def cosines(images: Any, texts: Any) -> Any:
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (images, texts)]
    return unit[0] @ unit[1].T


@pytest.mark.parametrize("kind", EACH)
def test_every_network_of_transformers_keeps_the_contract(
    kind: str, folders: dict[str, Path], context: Context
) -> None:
    settings = option("hf", folders[kind])
    network = loaded(context, settings)
    vectors, texts = settings.embed(network, PICTURES), network.text_vectors(TEXTS)
    assert vectors.shape == (3, network.width) and texts.shape == (2, network.width)
    assert vectors.dtype == texts.dtype == np.float32
    for number, image in enumerate(PICTURES):
        np.testing.assert_allclose(settings.embed(network, [image])[0], vectors[number], atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(network.text(TEXTS)), 1, atol=1e-6)
    assert (network.logits.bias is None) == (kind not in SIGMOID) == bool(settings.lacks("sigmoid"))
    assert bool(settings.lacks("windows")) == (kind not in WITH_CLASS_TOKEN)
    with pytest.raises(ConfigError, match=r"has \d\d tokens, the network reads 1[56]: shorten it"):
        network.text_vectors(["a scratch that goes on and on"])
    read_alike(network, "a scratch that goes on and on")
    assert settings.facts()["model"] == kind and len(settings.text_facts()["description"]) == 64


@pytest.mark.parametrize("kind", EACH)
def test_logits_are_those_of_transformers_for_images_of_the_networks_size(
    kind: str, folders: dict[str, Path], context: Context
) -> None:
    settings = option("hf", folders[kind])
    network = loaded(context, settings)
    mine = cosines(settings.embed(network, PICTURES), network.text_vectors(TEXTS)) * network.logits.scale
    mine += network.logits.bias or 0
    folder = str(folders[kind])
    config = pretrained.read_config(folder, of=CLASSES, what="network")
    own = getattr(transformers, CLASSES[kind]).from_pretrained(folder, config=config)
    processor = pretrained.image_processor(folder, backend="pil")
    pixels = processor(images=PICTURES, return_tensors="pt", input_data_format="channels_last")
    tokenizer = pretrained.tokenizer(folder)
    if kind in SIGMOID:
        texts = [text.lower() for text in TEXTS]
        read = {"input_ids": tokenizer(texts, padding="max_length", max_length=16, return_tensors="pt")["input_ids"]}
    else:
        read = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    with torch.no_grad():
        expected = own(**read, **pixels).logits_per_image.numpy()
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(mine, expected, atol=1e-5)
    if kind in SIGMOID:
        vectors = settings.embed(network, PICTURES)
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        found = pair_probabilities(unit, network.text(TEXTS[:1]), network.logits)
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-expected[:, 0])), atol=1e-5)


def test_weights_in_shards_are_read_as_one(folders: dict[str, Path], tmp_path: Path, context: Context) -> None:
    for file in folders["clip"].iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    transformers.CLIPModel.from_pretrained(folders["clip"]).save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1 and not (tmp_path / "model.safetensors").exists()
    assert loaded(context, option("hf", tmp_path)).width == 24
    pair = [read_state(folder / file) for folder, file in ((folders["clip"], "model.safetensors"), (tmp_path, INDEX))]
    assert pair[0].keys() == pair[1].keys()
    assert all(torch.equal(tensor, pair[1][name]) for name, tensor in pair[0].items())


def test_siglip_reads_small_letters_and_padding(folders: dict[str, Path], context: Context) -> None:
    network = loaded(context, option("hf", folders["siglip"]))
    np.testing.assert_array_equal(network.text_vectors(["A Hole"]), network.text_vectors(["a hole"]))
    inner: Any = network
    ids = inner.tokenizer("a hole", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        short = inner.network.get_text_features(input_ids=ids).pooler_output.numpy()
    assert np.abs(short - network.text_vectors(["a hole"])).max() > 1e-3, "without padding it is another text"


@pytest.mark.parametrize(
    "source", ["clip", *(pytest.param(k, marks=pytest.mark.slow) for k in ("metaclip_2", "open_clip"))]
)
def test_a_window_of_the_whole_grid_is_the_whole_image(
    source: str, folders: dict[str, Path], open_clips: dict[str, Path], context: Context
) -> None:
    if source == "open_clip":
        settings = option("open_clip", "toy-plus", f"pipeline.clip.weights={open_clips['toy-plus']}")
    else:
        settings = option("hf", folders[source])
    network = loaded(context, settings)
    ready = [settings.prepare(network, image) for image in PICTURES[:2]]
    grid = settings.side // network.tower.patch
    found = window_vectors(network, ready, sizes=(2, grid), patches="normed")
    np.testing.assert_allclose(found.image, network.vectors(ready), atol=2e-5)
    np.testing.assert_allclose(found.windows[1][:, 0], found.image, atol=2e-5)
    assert found.windows[0].shape == (2, len(window_places(grid, 2)), network.width)
    assert found.patches is not None and found.patches.shape[:2] == (2, grid * grid)


@pytest.mark.parametrize("name", ["toy-plus", "toy-siglip2"])
def test_a_network_of_open_clip_gives_its_own_numbers(name: str, open_clips: dict[str, Path], context: Context) -> None:
    import open_clip
    from PIL import Image

    settings = option("open_clip", name, f"pipeline.clip.weights={open_clips[name]}")
    network = loaded(context, settings)
    own = open_clip.create_model(name, pretrained=str(open_clips[name])).eval()
    side = own.visual.image_size[0]
    transform = open_clip.image_transform(side, is_train=False, resize_mode="squash")
    pixels = torch.stack([transform(Image.fromarray(image)) for image in PICTURES])
    read: Any = open_clip.get_tokenizer(name) if name == "toy-plus" else network.tokenizer  # type: ignore[attr-defined]
    with torch.no_grad():
        images, texts = own.encode_image(pixels).numpy(), own.encode_text(read(TEXTS)).numpy()
    np.testing.assert_allclose(settings.embed(network, PICTURES), images, atol=2e-5)
    np.testing.assert_allclose(network.text_vectors(TEXTS), texts, atol=2e-5)
    assert (network.logits.bias is None) == (name == "toy-plus") and network.width == 64
    assert ("tokenizer" in settings.text_facts()) == (name == "toy-siglip2")
    with pytest.raises(ConfigError, match=r"tokens, the network reads \d+: shorten it"):
        network.text_vectors(["scratch " * 80])
    read_alike(network, "scratch " * 80)


@pytest.mark.slow
def test_pe_core_sees_images_as_open_clip_prepares_them(context: Context) -> None:
    import open_clip
    from PIL import Image

    settings = option("open_clip", "PE-Core-T-16-384", "pipeline.clip.weights=random")
    networks = Networks(wanted=settings.wanted(), allow_random=True)
    network: Any = settings.load(context, choose(context, networks, pipeline="winclip"))
    half = (0.5, 0.5, 0.5)
    transform = open_clip.image_transform(
        384, is_train=False, mean=half, std=half, resize_mode="squash", interpolation="bilinear"
    )
    with torch.no_grad():
        expected = network.network.encode_image(transform(Image.fromarray(PICTURES[0]))[None]).numpy()
        texts = network.network.encode_text(open_clip.get_tokenizer("PE-Core-T-16-384")(TEXTS)).numpy()
    np.testing.assert_allclose(settings.embed(network, PICTURES[:1]), expected, atol=2e-5)
    np.testing.assert_allclose(network.text_vectors(TEXTS), texts, atol=2e-5)


def test_an_image_side_is_fitted_to_another_size(
    folders: dict[str, Path], open_clips: dict[str, Path], context: Context
) -> None:
    for name, model, side in (("hf", folders["siglip"], 96), ("open_clip", "toy-plus", 64)):
        words = [f"pipeline.clip.weights={open_clips[model]}"] if isinstance(model, str) else []
        own, other = option(name, model, *words), option(name, model, *words, f"pipeline.clip.input_size={side}")
        assert own.facts() != other.facts() and other.side == side
        pair = [one.embed(loaded(context, one), PICTURES[:1]) for one in (own, other)]
        assert pair[0].shape == pair[1].shape and np.abs(pair[0] - pair[1]).max() > 1e-4


REFUSED = [
    ("hf", "siglip", "windows", "siglip, a siglip, has no class token"),
    ("hf", "siglip2", "windows", "siglip2, a siglip2, has no class token"),
    ("hf", "clip", "sigmoid", "clip, a clip, has only shares of a softmax"),
    ("open_clip", "ViT-B-16-SigLIP2", "windows", "is no transformer that ends in its class token"),
    ("open_clip", "PE-Core-B-16", "windows", "is no transformer that ends in its class token"),
    ("open_clip", "RN50-quickgelu", "windows", "is no transformer that ends in its class token"),
    ("open_clip", "coca_ViT-B-32", "windows", "is no transformer that ends in its class token"),
    ("open_clip", "ViT-B-16-quickgelu", "sigmoid", "has only shares of a softmax"),
]


@pytest.mark.parametrize(("name", "model", "need", "said"), REFUSED)
def test_what_an_architecture_does_not_have_is_said_in_a_line(
    name: str, model: str, need: Any, said: str, folders: dict[str, Path]
) -> None:
    reason = option(name, folders.get(model, model)).lacks(need)
    assert reason is not None and said in reason and "\n" not in reason


def test_windows_are_there_where_an_open_clip_ends_in_its_class_token() -> None:
    for model in ("ViT-B-16-plus-240", "ViT-H-14-worldwide-quickgelu", "ViT-L-14-quickgelu"):
        assert option("open_clip", model).lacks("windows") is None


READERS: dict[str, tuple[Callable[[str], Any], tuple[str, ...]]] = {
    "config.json": (lambda folder: pretrained.config_in(Path(folder), folder), ('{"auto_map": 5}', "[" * 100_000)),
    "preprocessor_config.json": (lambda folder: pretrained.image_processor(folder, backend="pil"), ("[]",)),
    "tokenizer.json": (pretrained.tokenizer, ("{}", "5")),
    "tokenizer_config.json": (pretrained.tokenizer, ('{"tokenizer_class": 5}',)),
    "generation_config.json": (lambda folder: pretrained.read_generation(folder, object()), ("[]",)),
}


@pytest.mark.parametrize("file", READERS)
def test_what_describes_a_model_and_is_damaged_is_named(folders: dict[str, Path], tmp_path: Path, file: str) -> None:
    shutil.copytree(folders["clip"], tmp_path / "mine")
    read, contents = READERS[file]
    for content in contents:
        (tmp_path / "mine" / file).write_text(content)
        with pytest.raises((ConfigError, WeightsError), match="mine"):
            read(str(tmp_path / "mine"))


def test_a_model_whose_description_was_edited_is_loaded_anew(
    folders: dict[str, Path], tmp_path: Path, context: Context
) -> None:
    shutil.copytree(folders["clip"], tmp_path / "mine")
    settings, file = option("hf", tmp_path / "mine"), tmp_path / "mine" / "preprocessor_config.json"
    before = loaded(context, settings)
    assert loaded(context, settings) is before
    file.write_text(json.dumps({**json.loads(file.read_text()), "image_mean": [0.25, 0.25, 0.25]}))
    assert set(loaded(context, settings).processor.image_mean) == {0.25}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("open_clip", "ViT-B-16-plux", "open_clip has no such model; did you mean"),
        ("open_clip", "roberta-ViT-B-32", "fetches by itself, unpinned"),
        ("open_clip", "???", "is not set"),
        ("hf", "nowhere", "there is no such folder, and a name of the hub is written OWNER/NAME"),
    ],
)
def test_names_of_no_network_are_refused(name: str, model: str, said: str) -> None:
    with pytest.raises(ConfigError, match="(?s)" + said.replace("?", r"\?")):
        option(name, model).wanted()


def test_weights_of_the_right_form_of_gelu_are_taken() -> None:
    """open_clip lists OpenAI's weights, which want the quick form, first for names of networks without it."""
    requests = {m: option("open_clip", m).wanted()["clip"].published for m in ("ViT-B-16", "ViT-B-16-quickgelu")}
    assert requests["ViT-B-16"] != requests["ViT-B-16-quickgelu"]
    assert "openai" in str(requests["ViT-B-16-quickgelu"]) and "openai" not in str(requests["ViT-B-16"])
    assert all(str(word).endswith(":open_clip") for word in requests.values())


def test_a_tokenizer_that_is_not_here_is_named_with_its_command(context: Context) -> None:
    settings = option("open_clip", "ViT-B-16-SigLIP2", "pipeline.clip.weights=random")
    for facts in (settings.facts, settings.text_facts):
        with pytest.raises(WeightsError, match="make weights PIPELINE=hub:timm/ViT-B-16-SigLIP2"):
            facts()


@pytest.mark.parametrize("name", [name for name in options("clip") if name not in ("hf", "open_clip")])
def test_every_named_option_composes(name: str) -> None:
    composed, choices = compose("pipeline=sam_clip", f"clip@pipeline.clip={name}")
    assert choices["clip@pipeline.clip"] == name
    assert isinstance(option_settings("pipeline", composed["pipeline"]).clip, HfClip | OpenClip)  # type: ignore[attr-defined]
