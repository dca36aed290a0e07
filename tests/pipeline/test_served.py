"""Which model answers."""

from dataclasses import replace

import pytest

from server.contract import ModelContract
from server.errors import ModelNotServable, UnknownModel
from server.pipeline.served import choose
from server.testing import FakePredictor
from tests.pipeline.test_clip import _contract


def _changed(**changes):
    """A predictor that lists its models with something changed."""

    class Changed(FakePredictor):
        async def model(self, name, version=None):
            return replace(await super().model(name, version), **changes)

    return Changed([_contract()])


async def test_the_newest_version_answers_unless_another_is_named():
    """Replies say which."""
    predictor = _changed(versions=("1", "2"))
    assert (await choose(predictor, "net", None)).reference.version == "2"
    assert (await choose(predictor, "net", "1")).reference.version == "1"
    with pytest.raises(UnknownModel):
        await choose(predictor, "other", None)


async def test_what_cannot_be_fed_is_refused_with_the_reason():
    """A model that is listed as not servable, and one whose recipe is not here."""
    with pytest.raises(ModelNotServable, match="no weights"):
        await choose(_changed(servable=False, reason="no weights"), "net", None)
    other = ModelContract.model_validate({**_contract().model_dump(), "recipe": "other_recipe"})
    with pytest.raises(ModelNotServable, match="other_recipe"):
        await choose(FakePredictor([other]), "net", None)
