"""The recipes by name. A model's contract names one, an ensemble's several joined by `+`; a model whose recipe is
missing here is listed, not served.
"""

from __future__ import annotations

from server.recipes import (
    apex_gray_128,
    apex_gray_224,
    apex_sequence_64,
    clip_gray_18x64,
    clip_regions_18x32,
    flow_dual_227,
    flow_uvs_28,
    flow_uvs_28_iod,
    frames_8x128,
    lbp_top_85,
    mllm_frames,
    motion_9x64,
)
from server.recipes.composition import Recipe, Recipes
from server.recipes.flow_window import COLUMNS, ROWS

_FINE, _COARSE = 16, 4
"""Maps of explanations: fine where inputs are small and quickly made, coarse where they are large, or where motion is
measured anew in every step of the movement.
"""

_SQUARE = (ROWS, COLUMNS)

RECIPES = Recipes(
    {
        "apex_gray_128": Recipe(apex_gray_128.make, apex_gray_128.DIMS, shows=_SQUARE),
        "apex_gray_224": Recipe(apex_gray_224.make, apex_gray_224.DIMS, shows=_SQUARE),
        "apex_sequence_64": Recipe(
            apex_sequence_64.make, apex_sequence_64.DIMS, apex_sequence_64.FRAMES, cells=_COARSE, shows=_SQUARE
        ),
        "clip_gray_18x64": Recipe(clip_gray_18x64.make, clip_gray_18x64.DIMS, clip_gray_18x64.FRAMES, shows=_SQUARE),
        "clip_regions_18x32": Recipe(clip_regions_18x32.make, clip_regions_18x32.DIMS, clip_regions_18x32.FRAMES),
        "flow_dual_227": Recipe(
            flow_dual_227.make, flow_dual_227.DIMS, cells=_COARSE, within=flow_dual_227.make_within, shows=_SQUARE
        ),
        "flow_uvs_28": Recipe(
            flow_uvs_28.make, flow_uvs_28.DIMS, cells=_FINE, within=flow_uvs_28.make_within, shows=_SQUARE
        ),
        "flow_uvs_28_iod": Recipe(flow_uvs_28_iod.make, flow_uvs_28_iod.DIMS, cells=_FINE, shows=_SQUARE),
        "frames_8x128": Recipe(frames_8x128.make, frames_8x128.DIMS, frames_8x128.FRAMES),
        "lbp_top_85": Recipe(lbp_top_85.make, lbp_top_85.DIMS, lbp_top_85.FRAMES),
        "mllm_frames": Recipe(mllm_frames.make, mllm_frames.DIMS, mllm_frames.FRAMES, tracked=True),
        "motion_9x64": Recipe(motion_9x64.make, motion_9x64.DIMS, motion_9x64.FRAMES, cells=_COARSE, shows=_SQUARE),
    }
)
