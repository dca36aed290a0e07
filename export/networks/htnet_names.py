"""HTNet's weights as the authors' code names them.

Wang et al., Neurocomputing 602, 2024, arXiv 2307.14637. Their input is strain, v, u, unscaled, and their windows are
cut at landmarks of which x is taken for the row; where their code finds none it takes constants, and those are the
windows here, on a face that is aligned. Width, layers and heads follow from the shapes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from export.networks.network import Adopted, Weights
from export.networks.renaming import renamed

_KEY = "to_patch_embedding.1.weight"
_QKV = "layers.0.0.layers.0.0.fn.to_qkv.weight"
_LEVELS = 3
_MOST_HEADS = 64
_USUAL_HEADS = 3
_MOST_LAYERS = 64

_RULES = (
    (r"to_patch_embedding\.1\.(\w+)", r"embed.\1"),
    (r"layers\.(\d)\.0\.pos_emb", r"levels.\1.position"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.0\.norm\.g", r"levels.\1.layers.\2.before_attention.gain"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.0\.norm\.b", r"levels.\1.layers.\2.before_attention.offset"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.0\.fn\.to_qkv\.weight", r"levels.\1.layers.\2.attention.qkv.weight"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.0\.fn\.to_out\.0\.(\w+)", r"levels.\1.layers.\2.attention.out.\3"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.1\.norm\.g", r"levels.\1.layers.\2.before_feed.gain"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.1\.norm\.b", r"levels.\1.layers.\2.before_feed.offset"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.1\.fn\.net\.0\.(\w+)", r"levels.\1.layers.\2.feed.0.\3"),
    (r"layers\.(\d)\.0\.layers\.(\d+)\.1\.fn\.net\.3\.(\w+)", r"levels.\1.layers.\2.feed.2.\3"),
    (r"layers\.(\d)\.1\.0\.(\w+)", r"merges.\1.conv.\2"),
    (r"layers\.(\d)\.1\.1\.g", r"merges.\1.norm.gain"),
    (r"layers\.(\d)\.1\.1\.b", r"merges.\1.norm.offset"),
    (r"mlp_head\.0\.g", "norm.gain"),
    (r"mlp_head\.0\.b", "norm.offset"),
    (r"mlp_head\.2\.(\w+)", r"head.\1"),
)
_NOTE = (
    "the authors cut windows at landmarks that they look for in a thumbnail; here they lie where the authors' code "
    "puts them when it finds none"
)


def adopt(state: Mapping[str, Tensor]) -> Adopted | None:
    """State and shape of an HTNet of the authors' code; None for other names."""
    if _KEY not in state or _QKV not in state or state[_KEY].ndim == 0 or state[_QKV].ndim == 0:
        return None
    width, inner = state[_KEY].shape[0], state[_QKV].shape[0] // 3
    layers = tuple(
        sum(f"layers.{level}.0.layers.{number}.0.norm.g" in state for number in range(_MOST_LAYERS))
        for level in range(_LEVELS)
    )
    fitting = [heads for heads in range(1, min(width, _MOST_HEADS) + 1) if width // heads * heads == inner]
    heads = _USUAL_HEADS if _USUAL_HEADS in fitting or not fitting else fitting[0]
    options = (("heads", heads), ("layers", layers), ("mosaic", "published"), ("width", width))
    return Adopted(renamed(state, _RULES), Weights(preparation="published_order", options=options), (_NOTE,))
