"""Models of timm, torchvision and Transformers by name: built without weights or network, with their own inputs."""

import json
import socket
import sys

import pytest
import zoos

import cnncost
from cnncost.errors import CnncostError, MissingPackageError, SourceError
from cnncost.sources.resolve import resolve

TIMM, TORCHVISION, TRANSFORMERS = (zoos.needs(name) for name in ("timm", "torchvision", "transformers"))
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, of deprecations among themselves


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refused(*args, **kwargs):
        pytest.fail(f"the network was asked for: {args}")

    monkeypatch.setattr(socket, "getaddrinfo", refused)


# ---- what they count, derived by hand


BERT = 12 * 128 * (4 * 768 * 768 + 2 * 768 * 3072) + 12 * 2 * 128 * 128 * 768 + 768 * 768
"""Layers × tokens × (attention's four products, feed-forward's two), scores and weighted values, the pooler."""
GPT2 = 12 * 128 * (4 * 768 * 768 + 2 * 768 * 3072) + 12 * 2 * 128 * 128 * 768
LLAMA = 32 * 128 * (4 * 4096 * 4096 + 3 * 4096 * 11008) + 32 * 2 * 128 * 128 * 4096
MIXTRAL = 32 * 128 * (
    2 * 4096 * 4096 + 2 * 4096 * 1024 + 4096 * 8 + 2 * 3 * 4096 * 14336
) + 32 * 2 * 128 * 128 * 4096  # fmt: skip
"""Queries and output, keys and values of 8 heads, the router, and 2 of 8 experts for each token."""


@TRANSFORMERS
@pytest.mark.parametrize(
    ("model", "macs"),
    [
        pytest.param("hf:bert", BERT, id="an encoder"),
        pytest.param("hf:BertModel", BERT, id="an encoder by its class"),
        pytest.param("hf:BertConfig", BERT, id="an encoder by its configuration's class"),
        pytest.param("hf:gpt2", GPT2, id="a decoder"),
        pytest.param("hf:GPT2LMHeadModel", GPT2 + 128 * 768 * 50257, id="a decoder with its head"),
        pytest.param("hf:llama", LLAMA, id="a decoder of 6.6 billion parameters"),
        pytest.param("hf:mixtral", MIXTRAL, id="a mixture of experts"),
    ],
)
def test_transformers_by_hand(model, macs):
    report = cnncost.analyze(model)
    assert (report.totals.macs, report.unknown) == (macs, {})


PUBLISHED = [
    pytest.param("alexnet", "IMAGENET1K_V1", 61100840, 0.714, id="alexnet"),
    pytest.param("vit_h_14", "IMAGENET1K_SWAG_E2E_V1", 633470440, 1016.717, id="vit_h_14 at 518 pixels"),
    pytest.param("efficientnet_b4", "IMAGENET1K_V1", 19341616, 4.394, id="efficientnet_b4 at 380 pixels"),
    pytest.param("fcn_resnet50", "COCO_WITH_VOC_LABELS_V1", 35322218, 152.717, id="segmentation, with its other head"),
    pytest.param("r3d_18", "KINETICS400_V1", 33371472, 40.697, id="video"),
    pytest.param("raft_small", "C_T_V1", 990162, 47.655, id="optical flow"),
    pytest.param("quantized_resnet18", "IMAGENET1K_FBGEMM_V1", 11689512, 1.814, id="before it is quantized"),
]


@TORCHVISION
@pytest.mark.parametrize(("name", "weights", "params", "giga"), PUBLISHED)
def test_torchvision_publishes_the_same_figures(name, weights, params, giga):
    totals = cnncost.analyze(f"torchvision:{name}", model_args={"weights": weights}).totals
    assert (totals.params, round(totals.macs / 1e9, 3)) == (params, giga)


@TORCHVISION
def test_accuracies_that_torchvision_states_are_joined():
    """The figures of its documentation: of ResNet-18's weights V1 and ResNet-50's V2, both at 224×224."""
    names = ["torchvision:resnet18", "torchvision:resnet50"]
    small, large = cnncost.compare(names, join="published")

    assert dict(small.joined) == {"accuracy": 69.758, "accuracy_of": "IMAGENET1K_V1"}
    assert dict(large.joined) == {"accuracy": 80.858, "accuracy_of": "IMAGENET1K_V2"}
    with pytest.raises(CnncostError, match="no package states an accuracy of these models on these inputs"):
        cnncost.compare(names, "1x3x160x160", join="published")


@TIMM
def test_timm_and_torchvision_have_the_same_resnet():
    # 53 convolutions and a linear layer: He et al. 2016, table 1, with the stride in the 3×3 convolution
    assert cnncost.analyze("timm:resnet50").totals.macs == 4_089_184_256
    assert cnncost.analyze("torchvision:resnet50").totals.macs == 4_089_184_256


# ---- their inputs


@TIMM
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("convnext_tiny", {}, (1, 3, 224, 224)),
        ("efficientnet_b4", {}, (1, 3, 320, 320)),
        ("vit_base_patch16_384", {}, (1, 3, 384, 384)),
        ("resnet18", {"in_chans": 1}, (1, 1, 224, 224)),
    ],
)
def test_the_input_of_timms_configuration(name, arguments, shape):
    report = cnncost.analyze(f"timm:{name}", model_args=arguments)
    assert report.inputs[0][0] == shape


@TRANSFORMERS
@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("bert", {"input_ids", "attention_mask"}),
        ("gpt2", {"input_ids"}),
        ("t5", {"input_ids", "attention_mask", "decoder_input_ids"}),
        ("vit", {"pixel_values"}),
        ("whisper", {"input_features", "decoder_input_ids"}),
        ("wav2vec2", {"input_values"}),
        ("clip", {"input_ids", "pixel_values"}),
        ("llava", {"input_ids", "pixel_values"}),
        ("siglip2", {"input_ids", "pixel_values", "pixel_attention_mask", "spatial_shapes"}),
    ],
)
def test_the_inputs_that_an_architecture_takes(name, names):
    assert set(resolve(f"hf:{name}", None, None).inputs) == names


@TRANSFORMERS
def test_an_image_takes_the_place_of_as_many_tokens_as_it_makes():
    # LLaVA 1.5: (336 / 14)² = 576 patches of the image stand before the text
    inputs = resolve("hf:llava", None, None).inputs
    assert inputs["input_ids"].shape == (1, 576 + 128)
    assert int((inputs["input_ids"] == 32000).sum()) == 576


# ---- built from a configuration


@TRANSFORMERS
@pytest.mark.parametrize("as_folder", [True, False], ids=["a folder", "a file"])
def test_a_local_configuration(tmp_path, as_folder):
    config = {"model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 64,
              "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "num_labels": 3}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    report = cnncost.analyze(f"hf:{tmp_path if as_folder else tmp_path / 'config.json'}")
    expected = 2 * 128 * (4 * 64 * 64 + 2 * 64 * 128) + 2 * 2 * 128 * 128 * 64 + 64 * 64
    heads = report.totals.macs - expected
    assert heads in {64 * 2, 64 * 3}  # the classifier, of as many labels as the configuration says
    assert report.tree[0][1] == "BertForSequenceClassification"


@TRANSFORMERS
def test_arguments_are_fields_of_the_configuration():
    half = cnncost.analyze("hf:gpt2", model_args={"num_hidden_layers": 6}).totals.macs
    assert half == GPT2 // 2


@TRANSFORMERS
def test_a_field_that_only_the_architectures_code_knows():
    """A layer's projections have heads × head_dim columns; a norm of each head's queries and keys head_dim elements."""
    small = {"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
             "vocab_size": 32, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}  # fmt: skip
    wide, narrow = (cnncost.analyze("hf:qwen3_moe", model_args={**small, "head_dim": d}).totals.params for d in (32, 8))
    assert wide - narrow == 2 * (32 - 8) * (64 * (4 + 2 + 2 + 4) + 2)


# ---- weights are never fetched, nor needed


@TORCHVISION
def test_no_weights_are_loaded_where_they_are_named():
    model = resolve("torchvision:resnet18", None, {"weights": "DEFAULT"}).model
    assert all(parameter.is_meta for parameter in model.parameters())


@TORCHVISION
def test_loading_works_again_afterwards():
    from torch import nn

    before = nn.Module.load_state_dict
    resolve("torchvision:resnet18", None, {"weights": "DEFAULT"})
    assert nn.Module.load_state_dict is before


NAMES = [
    pytest.param("timm:convnext_tny", {}, "did you mean convnext_tiny", id="a name of timm's", marks=TIMM),
    pytest.param("timm:hf-hub:a/b", {}, "nothing is downloaded", id="timm: a name on a hub", marks=TIMM),
    pytest.param("timm:resnet18", {"pretrained": True}, "leave pretrained out", id="timm: weights", marks=TIMM),
    pytest.param("torchvision:resnet5", {}, "did you mean resnet50", id="a name of torchvision's", marks=TORCHVISION),
    pytest.param(
        "torchvision:resnet50", {"weights": "V7"}, "expected one of IMAGENET1K_V1", id="weights", marks=TORCHVISION
    ),
    pytest.param("torchvision:resnet50", {"pretrained": True}, "weights=DEFAULT", id="an old way", marks=TORCHVISION),
    pytest.param("hf:brt", {}, "did you mean bert", id="an architecture", marks=TRANSFORMERS),
    pytest.param("hf:org/name", {}, "models on the hub are not downloaded", id="a name on a hub", marks=TRANSFORMERS),
    pytest.param("hf:bert-base-uncased", {}, "Give the architecture, hf:bert, in its", id="bert", marks=TRANSFORMERS),
    pytest.param("hf:google/vit-base-patch16-224", {}, "architecture, hf:vit, in", id="vit", marks=TRANSFORMERS),
    pytest.param("hf:xlm-roberta-base", {}, "architecture, hf:xlm-roberta, in", id="the longest", marks=TRANSFORMERS),
    pytest.param("hf:meta-llama/Llama-2-7b", {}, "hf:llama, in", id="not its organization's", marks=TRANSFORMERS),
    pytest.param("hf:bert", {"hiden_size": 3}, "no field hiden_size; did you mean hidden_size", id="a field",
                 marks=TRANSFORMERS),
    pytest.param("hf:no_config", {}, "no config.json", id="a folder without a configuration", marks=TRANSFORMERS),
    pytest.param("hf:bad.json", {}, "is not JSON", id="a file that is not JSON", marks=TRANSFORMERS),
    pytest.param("hf:none.json", {}, "no model_type", id="a configuration of nothing", marks=TRANSFORMERS),
    pytest.param("hf:new.json", {}, "model_type 'bertt'.*did you mean bert", id="an unknown type", marks=TRANSFORMERS),
]  # fmt: skip


@pytest.mark.parametrize(("model", "arguments", "words"), NAMES)
def test_what_is_refused(model, arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_config").mkdir()
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "none.json").write_text("{}")
    (tmp_path / "new.json").write_text('{"model_type": "bertt"}')
    with pytest.raises(SourceError, match=words):
        cnncost.analyze(model, model_args=arguments)


@pytest.mark.parametrize(
    ("model", "package"), [("timm:resnet50", "timm"), ("torchvision:vgg11", "torchvision"), ("hf:bert", "transformers")]
)
def test_a_missing_package_is_told_with_its_command(model, package, monkeypatch):
    for name in [m for m in sys.modules if m == package or m.startswith(package + ".")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # the import system's way to say that there is none
    with pytest.raises(MissingPackageError, match=f"pip install {package}"):
        cnncost.analyze(model)


def test_a_package_that_can_not_be_imported(monkeypatch, tmp_path):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    for name in [m for m in sys.modules if m == "timm" or m.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CnncostError, match=r"timm is installed but can't be imported.*install the same build of both"):
        cnncost.analyze("timm:resnet50")


ROOTS = [
    pytest.param(
        "try:\n    raise OSError('libcudnn.so.9: no such file')\nexcept OSError as error:\n"
        "    raise RuntimeError('Failed to import timm.models (look up)') from error\n",
        "RuntimeError: Failed to import timm.models (look up) (the root cause: OSError: libcudnn.so.9: no such file)",
        id="a shared object",
    ),
    pytest.param(
        "import no_such_part\n",
        "this needs timm, which needs the package no_such_part; install it with: pip install no_such_part",
        id="a package that it needs",
    ),
    pytest.param(
        "from torch import a_name_of_another_version\n",
        "cannot import name 'a_name_of_another_version' from 'torch'",
        id="another version of torch",
    ),
]


@pytest.mark.parametrize(("code", "words"), ROOTS)
def test_a_library_that_can_not_be_imported_tells_the_root_cause(code, words, monkeypatch, tmp_path):
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(code)
    for name in [m for m in sys.modules if m == "timm" or m.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CnncostError) as error:
        cnncost.analyze("timm:resnet50")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


DERIVED = {
    "a whole": ("llama", {"hidden_size": 96, "num_attention_heads": 6}, "", "head_dim"),
    "heads alone": ("llama", {"num_attention_heads": 16}, "", "num_key_value_heads"),
    "a part": ("llava", {"text_config": {"hidden_size": 96, "num_attention_heads": 6}}, "text_config", "head_dim"),
    "a field that follows from nothing": ("llava", {"text_config": {"hidden_size": 96}}, "text_config", "vocab_size"),
}  # fmt: skip


@TRANSFORMERS
@pytest.mark.parametrize("row", DERIVED)
def test_fields_that_follow_from_those_given_are_as_the_constructor_has_them(row):
    import transformers

    from cnncost.sources.transformers import _configured

    name, given, part, field = DERIVED[row]
    kind = transformers.models.auto.configuration_auto.CONFIG_MAPPING[name]
    configs = [_configured(kind, given), kind(**given)]
    found, expected = [getattr(getattr(config, part) if part else config, field) for config in configs]
    assert found == expected


@TRANSFORMERS
def test_what_a_whole_sets_in_its_part_stays():
    """PaliGemma's text has one head of keys and values, by its own configuration and not by Gemma's."""
    import transformers

    from cnncost.sources.transformers import _configured

    text = _configured(transformers.PaliGemmaConfig, {"text_config": {"num_attention_heads": 16}}).text_config
    assert (text.num_attention_heads, text.num_key_value_heads) == (16, 1)
    assert transformers.PaliGemmaConfig().text_config.num_key_value_heads == 1
