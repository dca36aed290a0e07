"""What can be asked."""

from server.errors import BackendUnavailable


def test_models_are_listed(gateway):
    """Each with its versions, recipe and labels."""
    [model] = gateway.client.get("/v1/models").json()["models"]
    assert (model["name"], model["versions"], model["servable"]) == ("ststnet", ["1"], True)


def test_one_model_has_an_address(gateway):
    """Its contract and card lie there; another name is a problem."""
    assert gateway.client.get("/v1/models/ststnet").json()["recipe"] == "flow_uvs_28"
    missing = gateway.client.get("/v1/models/other")
    assert (missing.status_code, missing.json()["code"]) == (404, "unknown-model")


def test_a_backend_that_is_away_is_503(start, fake_analyzer):
    """With a time after which to ask again."""
    answer = start(fake_analyzer(error=BackendUnavailable("Triton does not answer"))).client.get("/v1/models")
    assert (answer.status_code, answer.json()["code"]) == (503, "backend-unavailable")
    assert "retry-after" in answer.headers
