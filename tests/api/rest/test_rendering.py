"""POST /v1/render over a real socket."""

from server.api.rest import upload
from server.documents import report_json
from tests.report import made


def test_a_report_that_was_sent_is_wiped(gateway, monkeypatch):
    """Its pictures are those of a face, so its bytes are overwritten before the answer goes, as those of a clip are."""
    bodies = []
    whole = upload.whole

    async def keeping(*given, **named):
        bodies.append(await whole(*given, **named))
        return bodies[-1]

    monkeypatch.setattr(upload, "whole", keeping)
    sent = {"content-type": "application/json", "accept": "text/csv"}
    for content, status in ((report_json(made.report(made.event())), 200), (b'{"id": 1}', 422)):
        answer = gateway.client.post("/v1/render", content=content, headers=sent)
        assert answer.status_code == status
        assert bodies.pop() == bytes(len(content))
