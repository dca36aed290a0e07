"""What fewer bits cost and bring on a processor: `python -m bench.quantization`.

Each network in ONNX Runtime on one thread as it is served (fp32), in half precision as `glimpse-export accelerate
--precision fp16` writes it, and in int8 by ONNX Runtime's own tools: dynamic (weights beforehand, activations while
running) and static (activations calibrated on rendered events, per channel, quantise-dequantise format). All are timed
in turns with fp32, so that what else the machine does falls on both alike; the medians of the ratios are printed, above
1 where fp32 is slower, and for fp32 itself the milliseconds of an event. Beside them the size of the file, the largest
difference of a probability from fp32, and how many labels stay the same on rendered events that calibration did not
see.

Weights are those of `model_repository`, or else random: then answers lie close together, so that labels change more
easily than those of a trained network, and only speed and size say something about it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from bench.models import in_turns, random_checkpoint, session_of
from export.build import FLOW_OF_SOURCE
from export.half_arithmetic import half_bytes
from export.networks.registry import NETWORKS
from export.onnx import onnx_bytes, served_graph
from export.output import counting
from export.repository import published_names, read_published
from export.synthesis.events import render_events
from server.contract import PROBABILITIES
from server.types import Float32Array

NAMES = ("ststnet", "dssn", "microexpstcnn", "glimpse_flow")
REPOSITORY = Path("model_repository")
BATCHES = (1, 32)
EVENTS, EVENTS_SEED = 64, 7001
CALIBRATION, CALIBRATION_SEED = 32, 7002


class _Events(CalibrationDataReader):
    """Rendered events one by one, as ONNX Runtime's calibration wants them."""

    def __init__(self, inputs: Mapping[str, Float32Array]) -> None:
        count = len(next(iter(inputs.values())))
        self._rows: Iterator[dict[str, Float32Array]] = iter(
            [{name: array[row : row + 1] for name, array in inputs.items()} for row in range(count)]
        )

    def get_next(self) -> dict[str, Float32Array] | None:
        """The next event; None after the last."""
        return next(self._rows, None)


def rendered(name: str, count: int, seed: int) -> dict[str, Float32Array]:
    """Inputs of a network for `count` rendered events, float32 [count, ...]."""
    network = NETWORKS[name]
    with counting(f"rendering for {name}") as progress:
        samples = render_events(network.recipe, count, seed, flow=FLOW_OF_SOURCE["trained"], on_progress=progress)
    return {spec.name: samples.inputs[spec.name].astype(np.float32) for spec in network.inputs}


def variants(single: bytes, calibration: Mapping[str, Float32Array]) -> dict[str, bytes]:
    """The graph with fewer bits, by name."""
    with tempfile.TemporaryDirectory() as folder:
        given, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("given", "prepared", "made"))
        given.write_bytes(single)
        quant_pre_process(given, prepared, skip_symbolic_shape=True)
        quantize_dynamic(prepared, made, weight_type=QuantType.QInt8)
        dynamic = made.read_bytes()
        quantize_static(
            prepared, made, _Events(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        return {"fp16": half_bytes(single), "int8 dynamic": dynamic, "int8 static": made.read_bytes()}


def rows(name: str) -> Iterator[str]:
    """The lines of one network."""
    trained = name in published_names(REPOSITORY)
    if trained:
        single = read_published(REPOSITORY, name).model_file.read_bytes()
    else:
        network = NETWORKS[name]
        single = onnx_bytes(served_graph(random_checkpoint(network)), network.inputs)
    events = rendered(name, EVENTS, EVENTS_SEED)
    made = variants(single, rendered(name, CALIBRATION, CALIBRATION_SEED))
    reference = session_of(single)
    expected = _probabilities(reference, events)
    label = f"{name}{'' if trained else ', random weights'}"
    parts = [{input_name: array[:batch] for input_name, array in events.items()} for batch in BATCHES]
    alone = [np.median(*in_turns([partial(reference.run, None, part)])) for part in parts]
    took = " | ".join(f"{seconds / batch * 1e3:.3f} ms" for seconds, batch in zip(alone, BATCHES, strict=True))
    yield f"| {label} | fp32 | {len(single) / 1e6:.3f} | {took} | | |"
    for variant, data in made.items():
        session = session_of(data)
        found = _probabilities(session, events)
        times = [in_turns([partial(each.run, None, part) for each in (reference, session)]) for part in parts]
        ratios = " | ".join(f"{np.median(np.divide(*pair)):.2f}" for pair in times)
        same = f"{int((expected.argmax(1) == found.argmax(1)).sum())}/{len(expected)}"
        difference = np.abs(expected - found).max()
        yield f"| {label} | {variant} | {len(data) / 1e6:.3f} | {ratios} | {difference:.1e} | {same} |"


def _probabilities(session: onnxruntime.InferenceSession, inputs: Mapping[str, Float32Array]) -> Float32Array:
    (answers,) = session.run([PROBABILITIES], dict(inputs))
    return np.asarray(answers, dtype=np.float32)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"networks; {', '.join(NAMES)} unless given")
    print("| network | arithmetic | MB | fp32 : this, batch 1 | an event, batch 32 | largest difference | same label |")
    print("|---" * 7 + "|")
    for name in parser.parse_args().names or NAMES:
        for row in rows(name):
            print(row, flush=True)


if __name__ == "__main__":
    main()
