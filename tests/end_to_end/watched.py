"""A running service that is asked everything that there is, and what it answered."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc
from websockets.sync.client import connect

from tests import residue
from tests.end_to_end.conftest import Service
from tests.otlp_sink import Sink
from tests.secret_clip import FIELD_NAME, FILE_NAME, SecretClip, Secrets

PIECE = 1 << 16


@dataclass
class Watched:
    """A service that was asked everything once. `told` are its answers but those that were to show pictures, of which
    `shown` are, as bytes and as text; `left` is what the memory of each kind of process still held.
    """

    service: Service
    folder: Path
    since_ns: int
    clip: SecretClip
    live: SecretClip
    secrets: Secrets
    sink: Sink
    told: list[bytes] = field(default_factory=list)
    shown: list[tuple[bytes, bytes]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)

    @cached_property
    def search(self) -> residue.Search:
        """Looks for pictures that were shown."""
        gray, text = (b"".join(each) for each in zip(*self.shown, strict=True))
        return residue.Search(np.union1d(residue.needles(gray), residue.needles(text, text=True)))

    @property
    def processes(self) -> list[int]:
        return residue.family(self.service.process.pid)

    def ask_rest(self) -> None:
        """Whole clips in each form of answer, one that is cut off, none at all, unknown parts, stills."""
        client, clip = self.service.client, self.clip
        part = {"clip": (FILE_NAME, clip.data, "video/quicktime")}
        for accept in ("application/json", "image/png", "text/csv", "text/event-stream"):
            self._keep(client.post("/v1/analyze", files=part, headers={"accept": accept}), 200)
        self._keep(client.post("/v1/analyze", content=clip.data, headers={"content-type": "video/quicktime"}), 200)
        self._keep(client.post("/v1/analyze", files={"clip": (FILE_NAME, clip.data[: len(clip.data) // 2])}), 422)
        self._keep(client.post("/v1/analyze", files={"clip": (FILE_NAME, clip.pictures[0])}), 422)
        self._keep(client.post("/v1/analyze", files={FIELD_NAME: (FILE_NAME, clip.data)}), 422)
        given = {"onset_s": "0.05", "apex_s": "0.12"}
        self._keep(client.post("/v1/analyze", files=part, params=given), 200)
        stills = {"onset": (FILE_NAME, clip.pictures[0]), "apex": (FILE_NAME, clip.pictures[12])}
        self._keep(client.post("/v1/classify", files=stills), 200)
        self._show(client.post("/v1/analyze", files=part, params={**given, "include": "signals,pictures"}))

    def ask_grpc(self) -> None:
        """The clip in pieces, then a stream."""
        with grpc.insecure_channel(self.service.grpc) as channel:
            stub = pb_grpc.MicroExpressionsStub(channel)
            *_, last = stub.Analyze(self._pieces())
            assert last.HasField("report")
            *_, asked = stub.Analyze(self._pieces(onset_s=0.05, apex_s=0.12, include=[pb.EXTRA_PICTURES]))
            assert [event.pictures.onset.gray for event in asked.report.events] == [self.shown[0][0]]
            *_, stats = stub.Live(self._frames())
            assert stats.stats.analysed == len(self.live.pictures)
            self.told += [last.SerializeToString(), stats.SerializeToString()]

    def ask_socket(self) -> None:
        """The stream once more, from a page."""
        url = str(self.service.client.base_url).replace("http", "ws")
        with connect(f"{url}/v1/live?policy=wait", proxy=None, max_size=None) as socket:
            for index, picture in enumerate(self.live.pictures):
                socket.send(struct.pack(">qq", index, index * 33_333) + picture)
            socket.send('{"type":"end"}')
            answers = [str(message).encode() for message in socket]
        assert json.loads(answers[-1])["type"] == "stats"
        self.told += answers

    def look(self, when: str) -> None:
        """What memory holds now: of the gateway, and of all workers together."""
        gateway, *workers = self.processes
        secrets = self.secrets.pictures | self.search
        self.left[f"{when}: gateway"] = secrets.of(residue.memory(gateway))
        self.left[f"{when}: workers"] = sum(secrets.of(residue.memory(worker)) for worker in workers)

    def _keep(self, answer: httpx.Response, status: int) -> None:
        assert answer.status_code == status, answer.text
        self.told += [answer.content, str(answer.headers).encode()]

    def _show(self, answer: httpx.Response) -> None:
        """Keep its pictures apart from all else."""
        assert answer.status_code == 200, answer.text
        self.told.append(str(answer.headers).encode())
        for event in answer.json()["events"]:
            pictures = event["pictures"]
            texts = [each["gray"].encode() for each in (pictures["onset"], pictures["apex"], *pictures["course"])]
            self.shown += [(base64.b64decode(text), text) for text in texts]

    def _pieces(self, **options: Any) -> Iterator[pb.AnalyzeRequest]:
        yield pb.AnalyzeRequest(options=pb.AnalyzeOptions(**options))
        data = self.clip.data
        yield from (pb.AnalyzeRequest(data=data[start : start + PIECE]) for start in range(0, len(data), PIECE))

    def _frames(self) -> Iterator[pb.LiveRequest]:
        yield pb.LiveRequest(options=pb.LiveOptions(policy=pb.BUFFER_POLICY_WAIT))
        for index, picture in enumerate(self.live.pictures):
            jpeg = pb.FRAME_ENCODING_JPEG
            frame = pb.Frame(frame_index=index, capture_time_us=index * 33_333, encoding=jpeg, data=picture)
            yield pb.LiveRequest(frame=frame)
