"""The model repository on disk."""

import json

import pytest

from server.errors import ConfigurationError, ModelNotServable, UnknownModel
from server.predict.repository import ModelRepository


def read(maker, tiny):
    """The catalogue of what was written."""
    return ModelRepository(maker.path, [tiny.recipe]).catalogue


def reason(maker, tiny, name="tiny"):
    """Why a model is not servable."""
    info = read(maker, tiny).entry(name).info
    assert not info.servable
    return info.reason


def test_good_folder_is_servable_with_everything_it_says(maker, tiny):
    """A complete folder gives name, version, recipe, labels, contract and card."""
    maker.add("tiny")
    entry = read(maker, tiny).entry("tiny")
    assert entry.info.servable
    assert entry.info.reason == ""
    assert entry.info.versions == ("1",)
    assert entry.info.recipe == tiny.recipe
    assert entry.info.labels == tiny.labels
    assert entry.info.backend == "local"
    assert entry.info.card == {"title": "Tiny"}
    assert entry.info.contract["provenance"]["network"] == "tiny"
    assert entry.max_batch_size == 8


def test_broken_folders_do_not_hide_the_others(maker, tiny):
    """Models are listed sorted by name, the broken ones with a reason, and stray files are no models."""
    maker.add("tiny")
    maker.add("broken", config="not a config {")
    (maker.path / "README.md").write_text("notes")
    (maker.path / ".git").mkdir()
    assert [(info.name, info.servable) for info in read(maker, tiny).models()] == [("broken", False), ("tiny", True)]


def test_config_missing_or_unreadable(maker, tiny):
    """The reason names config.pbtxt, and the line where the text does not parse."""
    (maker.add("none") / "config.pbtxt").unlink()
    maker.add("bad", config="max_batch_size: 'many'")
    maker.add("other", config=tiny.config("another", tiny.contract("another")))
    assert reason(maker, tiny, "none") == "config.pbtxt is missing"
    assert "config.pbtxt cannot be read" in reason(maker, tiny, "bad")
    assert "'another'" in reason(maker, tiny, "other")


def test_contract_missing_or_invalid(maker, tiny):
    """The reason says that there is no contract, or which field of it is wrong."""
    maker.add("none", config=tiny.config("none", None))
    maker.add("bad", config=tiny.config("bad", tiny.contract("bad", labels=["only"])))
    text = tiny.config("text", None)
    text.parameters["contract"].string_value = "{"
    maker.add("text", config=text)
    maker.add("named", config=tiny.config("named", tiny.contract("elsewhere")))
    assert "no parameters['contract']" in reason(maker, tiny, "none")
    assert "labels" in reason(maker, tiny, "bad")
    assert "not valid" in reason(maker, tiny, "text")
    assert "'elsewhere'" in reason(maker, tiny, "named")


def test_contract_and_config_must_agree(maker, tiny):
    """Other names, dims or types of tensors than the contract's, or no batching, make a model not servable."""
    names, dims, kind = (tiny.config(name, tiny.contract(name)) for name in ("names", "dims", "kind"))
    names.input[0].name = "motion"
    dims.output[1].dims[0] = 5
    kind.input[0].data_type = 12  # TYPE_FP64
    for config in (names, dims, kind, tiny.config("single", tiny.contract("single"), largest=0)):
        maker.add(config.name, config=config)
    assert "'motion'" in reason(maker, tiny, "names")
    assert "[5] in config.pbtxt, [4] in the contract" in reason(maker, tiny, "dims")
    assert "TYPE_FP32" in reason(maker, tiny, "kind")
    assert "max_batch_size" in reason(maker, tiny, "single")


def test_unknown_recipe_keeps_the_facts(maker, tiny):
    """A model from a newer workshop is listed with its labels, and with the recipe that is lacking."""
    maker.add("tiny", config=tiny.config("tiny", tiny.contract("tiny", recipe="from_the_future")))
    info = read(maker, tiny).entry("tiny").info
    assert "'from_the_future'" in info.reason
    assert not info.servable
    assert info.labels == tiny.labels


@pytest.mark.parametrize("labels", [None, ("negative", "positive"), ("positive", "negative", "surprise")])
def test_labels_must_be_those_of_the_contract(maker, tiny, labels):
    """A labels.txt that is missing, short or in another order makes the model not servable."""
    maker.add("tiny", labels=labels)
    assert "labels.txt" in reason(maker, tiny)


def test_no_model_file(maker, tiny):
    """A version folder without model.onnx is no version, and without any the model is not servable."""
    (maker.add("tiny") / "1" / "model.onnx").unlink()
    assert "no version" in reason(maker, tiny)


@pytest.mark.parametrize(
    ("policy", "served"),
    [(None, ("10",)), ("latest", ("2", "10")), ("all", ("1", "2", "10")), ("specific", ("1", "10"))],
)
def test_versions_follow_tritons_policy(maker, tiny, policy, served):
    """The versions, oldest first by number, are those that Triton would load; without a policy the newest."""
    config = tiny.config("tiny", tiny.contract("tiny"))
    if policy == "latest":
        config.version_policy.latest.num_versions = 2
    elif policy == "all":
        config.version_policy.all.SetInParent()
    elif policy == "specific":
        config.version_policy.specific.versions.extend([1, 10, 7])
    folder = maker.add("tiny", config=config, versions={version: tiny.onnx() for version in ("1", "2", "10", "v3")})
    repository = ModelRepository(maker.path, [tiny.recipe])
    entry = repository.catalogue.entry("tiny")
    assert entry.info.versions == served
    assert entry.servable(None)[1] == "10"
    assert repository.model_file("tiny", "10") == folder / "10" / "model.onnx"


def test_unknown_names_and_versions(maker, tiny):
    """Asking for a model or version that is not there names those that are."""
    maker.add("tiny")
    catalogue = read(maker, tiny)
    with pytest.raises(UnknownModel, match=r"'../tiny' \(there are: tiny\)"):
        catalogue.entry("../tiny")
    with pytest.raises(UnknownModel, match=r"no version '2' \(served: 1\)"):
        catalogue.entry("tiny").servable("2")


def test_a_model_that_is_not_servable_says_why_when_asked(maker, tiny):
    """The reason in the list is the reason in the error."""
    maker.add("tiny", labels=None)
    with pytest.raises(ModelNotServable, match=r"labels\.txt is missing"):
        read(maker, tiny).entry("tiny").servable(None)


@pytest.mark.parametrize("card", [None, "{", json.dumps(["a list"])])
def test_a_missing_or_broken_card_does_not_stop_the_model(maker, tiny, card):
    """The card informs; without one the model still answers."""
    maker.add("tiny", card=card)
    info = read(maker, tiny).entry("tiny").info
    assert info.servable
    assert info.card == {}


def test_no_repository(tmp_path):
    """A path that is no directory is an error of the installation."""
    with pytest.raises(ConfigurationError, match="not a directory"):
        ModelRepository(tmp_path / "nowhere", [])


def _engine(**changes):
    return {"tensorrt": "10.13.3.9", "compute_capability": "8.6", "workspace_mib": 1024} | changes


def add_plan(maker, tiny, name="plan"):
    """A model whose version holds a plan."""
    config = tiny.config(name, tiny.contract(name, engine=_engine()))
    config.default_model_filename = "model.plan"
    folder = maker.add(name, config=config)
    (folder / "1" / "model.onnx").rename(folder / "1" / "model.plan")
    return folder


def test_a_plan_is_found_under_its_own_name(maker, tiny):
    """The file of a plan is model.plan, as the configuration and the contract say."""
    folder = add_plan(maker, tiny)
    repository = ModelRepository(maker.path, [tiny.recipe], backend="triton")
    assert repository.catalogue.entry("plan").info.servable
    assert repository.model_file("plan", "1") == folder / "1" / "model.plan"


def test_file_and_contract_must_agree(maker, tiny):
    """A configuration that names another file than the contract's is wrong."""
    maker.add("graph", config=tiny.config("graph", tiny.contract("graph", engine=_engine())))
    assert "the model in model.onnx, the contract in model.plan" in reason(maker, tiny, "graph")


def test_an_engine_says_what_it_runs_on_or_is_none(maker, tiny):
    """A GPU or a version that is no number, and an accelerator beside a plan, make a contract invalid."""
    accelerator = {"name": "tensorrt", "workspace_mib": 1024}
    for name, changes in {
        "gpu": {"engine": _engine(compute_capability="RTX")},
        "version": {"engine": _engine(tensorrt="10")},
        "both": {"engine": _engine(), "accelerator": accelerator},
    }.items():
        maker.add(name, config=tiny.config(name, tiny.contract(name, **changes)))
        assert "the contract is not valid" in reason(maker, tiny, name)
