"""The joint training of MOL (arXiv 2506.14511): class, flow and landmarks learnt together, and measured on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from export.mol_losses import endpoint_error, joint_loss, normalised_mean_error
from export.mol_targets import FLOW, LANDMARKS
from export.networks.mol_features import PAIRS
from export.networks.mol_joint import JointNetwork
from export.trainer import LOSS, OneCycleTrainer, Trainer
from export.training_plan import TrainingPlan


class JointTrainer(OneCycleTrainer):
    """The joint loss, of a flow head that sees one pair of each clip in a step, drawn anew.

    That pair is all seven on average, and seven pairs would make a step several times as dear. The landmark head
    starts from the mean face of the first batch: from 0, where random weights start it, the way to that face is longer
    than a few hundred steps.
    """

    def __init__(self, model: nn.Module, plan: TrainingPlan, steps: int) -> None:
        assert isinstance(model, JointNetwork)
        super().__init__(model, plan, steps, _cost)
        self._network = model
        self._mean_face: Tensor | None = None

    def step(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """One step; the joint loss and its three parts, unweighted."""
        if self._mean_face is None:
            self._mean_face = extras[LANDMARKS].mean((0, 2))
            self._network.start_landmarks(self._mean_face)
        return super().step(inputs, labels, extras)

    def measure(self, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Cross entropy of the class; error of the flow in px, of the first pair in the first clip, the second in the
        second and so on, and that of no motion at all; error of the landmarks in percent of the distance of the eyes,
        and that of the mean face from which their head started.
        """
        (video,) = inputs
        pairs = torch.arange(len(video), device=video.device)[:, None] % PAIRS
        answer, flow, landmarks = self._network.joint(video, pairs), _of_pairs(extras[FLOW], pairs), extras[LANDMARKS]
        figures = {
            "class_loss": nn.functional.cross_entropy(answer.logits, labels),
            "flow_epe_px": endpoint_error(answer.flow, flow),
            "flow_epe_px_of_rest": endpoint_error(torch.zeros_like(flow), flow),
            "landmark_nme_percent": normalised_mean_error(answer.landmarks, landmarks),
        }
        if self._mean_face is not None:
            face = self._mean_face[None, :, None].expand_as(answer.landmarks)
            figures["landmark_nme_percent_of_mean_face"] = normalised_mean_error(face, landmarks)
        return {name: float(value) for name, value in figures.items()}


def joint_trainer(model: nn.Module, plan: TrainingPlan, steps: int) -> Trainer:
    """That of MOL, whatever its width."""
    return JointTrainer(model, plan, steps)


def _cost(
    model: nn.Module, inputs: Sequence[Tensor], labels: Tensor, extras: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    assert isinstance(model, JointNetwork)
    (video,) = inputs
    # From the generator of the CPU, so that a GPU learns from the same pairs.
    pairs = torch.randint(PAIRS, (len(video), 1)).to(video.device)
    loss = joint_loss(model.joint(video, pairs), labels, _of_pairs(extras[FLOW], pairs), extras[LANDMARKS])
    return {LOSS: loss.total, "class": loss.classes, "flow": loss.flow, "landmarks": loss.landmarks}


def _of_pairs(flow: Tensor, pairs: Tensor) -> Tensor:
    """Of `flow` float32 [N, 2, H, W, 7] the `pairs` int64 [N, P]: float32 [N, 2, H, W, P]."""
    return flow.gather(4, pairs[:, None, None, None, :].expand(*flow.shape[:4], pairs.shape[1]))
