"""Opening the face networks."""

from __future__ import annotations

import numpy as np
import pytest

from server.errors import ConfigurationError
from server.faces.networks import Network, sigmoid


def test_a_missing_network_is_the_installations_fault() -> None:
    """A file that is not there is reported by name, as a fault of the installation."""
    with pytest.raises(ConfigurationError, match=r"absent\.onnx"):
        Network("absent.onnx", ("x",), threads=1)


def test_the_logistic_function_has_no_overflow() -> None:
    """Extreme inputs give 0 and 1."""
    values = sigmoid(np.array([-1e9, 0, 1e9], np.float32))
    np.testing.assert_allclose(values, [0, 0.5, 1], atol=1e-6)
