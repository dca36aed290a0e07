"""Quantities that follow from a flow field."""

from __future__ import annotations

import numpy as np

from server.types import Float32Array, FlowField


def strain(u: Float32Array, v: Float32Array) -> Float32Array:
    """Optical strain magnitude: sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2), float32 [H, W], in px/px.

    The norm of the symmetric part of the flow gradient (Shreve et al. 2011; STSTNet, Liong et al. 2019, eq. 5 and 6;
    its eq. 7 repeats du/dx by mistake). It is blind to shifts and, to first order, to rotations of the head.
    """
    uy, ux = np.gradient(u)
    vy, vx = np.gradient(v)
    return np.asarray(np.sqrt(ux * ux + vy * vy + 0.5 * (uy + vx) ** 2), dtype=np.float32)


def flow_field(u: Float32Array, v: Float32Array) -> FlowField:
    """`u` and `v` (float32 [H, W], px) with their strain."""
    return FlowField(u=u, v=v, strain=strain(u, v))
