"""The model `mllm` as the settings describe it."""

import os

import pytest

from server.contract import ModelContract
from server.errors import ConfigurationError
from server.mllm import with_mllm
from server.predict.tensors import zeros
from server.settings import load, rows
from server.testing import FakePredictor
from tests.openai_endpoint import VALID, endpoint

KEY = "sk-very-secret-0123456789"
ON = {"base_url": "https://llm.example/v1", "model": "m", "send_faces": True}


def of(**settings):
    return with_mllm(FakePredictor([]), load({}, mllm=settings).mllm)


@pytest.mark.parametrize("missing", [("base_url",), ("model",), ("send_faces",), ("base_url", "model", "send_faces")])
async def test_it_is_off_until_all_of_it_is_configured(missing):
    """The reason names what is missing; an address and a key alone are no consent."""
    predictor = of(**{name: value for name, value in ON.items() if name not in missing})
    info = await predictor.model("mllm")
    assert not info.servable
    assert info.reason.startswith("not configured: set ")
    assert [name for name in ON if f"GLIMPSE_MLLM__{name.upper()}" in info.reason] == list(missing)
    await predictor.close()


async def test_configured_it_is_servable_and_keeps_the_key_to_itself():
    """Neither the list of models nor the settings show it."""
    tree = load({}, mllm={**ON, "api_key": KEY})
    predictor = with_mllm(FakePredictor([]), tree.mllm)
    info = await predictor.model("mllm")
    assert info.servable
    assert KEY not in repr((info, tree, predictor, vars(predictor), list(rows(tree))))
    await predictor.close()


async def ask(predictor):
    info = await predictor.model("mllm")
    contract = ModelContract.model_validate(info.contract)
    await predictor.predict("mllm", zeros(contract), deadline=float("inf"))
    await predictor.close()


async def test_the_key_may_lie_in_a_file(tmp_path):
    """A line break at its end does not matter."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    with endpoint(VALID) as fake:
        await ask(of(base_url=fake.base_url, model="m", send_faces=True, api_key_file=str(tmp_path / "key")))
        assert fake.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("content", "why"), [(None, "No such file"), (b"", "holds no key"), (b"two keys", "blanks"), (b"\xff", "ASCII")]
)
def test_a_key_file_that_is_none_keeps_the_service_from_starting(tmp_path, content, why):
    """The path is named, what is in the file is not."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=why) as refused:
        of(**ON, api_key_file=str(path))
    assert str(path) in refused.value.message
    assert "two keys" not in refused.value.message


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    """Faces go to the configured address or nowhere."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with endpoint(VALID) as fake:
        await ask(of(base_url=fake.base_url, model="m", send_faces=True))
        assert len(fake.asked) == 1
