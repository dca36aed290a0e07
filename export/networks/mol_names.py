"""MOL's weights as the authors' code names them.

Shao et al., IEEE TPAMI 2025, arXiv 2506.14511. The path to the class is taken, with neighbours sought as the code does;
its classes surprise, positive and negative are brought into the order of `export.labels.LABELS`. The heads of optical
flow and landmarks, which a file may lack, are left out: they do not reach the class.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from export.networks.network import Adopted, Weights
from export.networks.renaming import renamed

_KEY = "conv_stack.conv_stack.0.weight"
_HEADS = ("flownet.", "ldm_predictor.")
_CLASSES = [2, 1, 0]
"""Where the authors have negative, positive and surprise."""
_LAST = "mer_3dcnn.fc2."
_FEATURES = "recognition.features."
_BLOCKS = (("1", "first"), ("2", "second"))

_RULES = (
    (r"conv_stack\.conv_stack\.(\d)\.(\w+)", r"recognition.features.stem.\1.\2"),
    (r"mer_3dcnn\.conv3d\.(\w+)", r"recognition.head.0.\1"),
    (r"mer_3dcnn\.fc1\.(\w+)", r"recognition.head.4.\1"),
    (r"mer_3dcnn\.fc2\.(\w+)", r"recognition.head.7.\1"),
    *(
        rule
        for number, block in _BLOCKS
        for rule in (
            *(
                (
                    rf"FCC_{number}\.{theirs}_{stage}_{axis}{end}",
                    f"{_FEATURES}{block}.0.{ours}.{stage - 1}{tail}",
                )
                for stage in (1, 2)
                for axis, kernel, place in (("H", "columns", "down"), ("W", "rows", "across"))
                for theirs, end, ours, tail in (
                    ("meta_kernel", "", kernel, ".weight"),
                    ("meta", "_bias", kernel, ".bias"),
                    ("meta_pe", "", place, ""),
                )
            ),
            (rf"FCC_{number}\.pre_Norm_1\.(\w+)", rf"{_FEATURES}{block}.0.norms.0.\1"),
            (rf"FCC_{number}\.pre_Norm_2\.(\w+)", rf"{_FEATURES}{block}.0.norms.1.\1"),
            (rf"FCC_{number}\.ffn\.([01])\.(\w+)", rf"{_FEATURES}{block}.0.unused.\1.\2"),
            (rf"FCC_{number}\.ffn\.4\.(\w+)", rf"{_FEATURES}{block}.0.unused.3.\1"),
            (rf"CCC_{number}\.conv1\.(\w+)", rf"{_FEATURES}{block}.1.own.\1"),
            (rf"CCC_{number}\.conv2\.(\w+)", rf"{_FEATURES}{block}.1.difference.\1"),
        )
    ),
)
_NOTES = (
    "grey levels are scaled by 127.5; the authors scale each of their files by its own mean and maximum",
    "classes were brought from the authors' order, surprise, positive, negative, into ours",
)


def adopt(state: Mapping[str, Tensor]) -> Adopted | None:
    """State of a MOL of the authors' code, without its other heads; None for other names."""
    if _KEY not in state:
        return None
    heads = sorted({name.partition(".")[0] for name in state if name.startswith(_HEADS)})
    kept = {name: _reshaped(name, value) for name, value in state.items() if not name.startswith(_HEADS)}
    notes = (*_NOTES, *(f"the head {head} does not reach the class and is left out" for head in heads))
    weights = Weights(preparation="as_is", options=(("ccc", "code"), ("heads", "class")))
    return Adopted(renamed(kept, _RULES), weights, notes)


def _reshaped(name: str, value: Tensor) -> Tensor:
    """Without axes of length one that the network does not have; what has another shape is found out later."""
    if ".meta_pe_" in name and value.ndim == 4:
        return value.flatten(0, 1)
    if ".conv" in name and name.startswith("CCC_") and value.ndim == 3:
        return value.flatten(1)
    if name.startswith(_LAST) and value.ndim and value.shape[0] == len(_CLASSES):
        return value[_CLASSES]
    return value
