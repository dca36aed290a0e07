"""The rendered chart under checkov: clean, but for what is argued here."""

from __future__ import annotations

import json
import subprocess

import pytest
import yaml

from tests.helm.chart import case_objects

CASES = ("local", "cpu", "gpu", "ha", "restricted", "sidecar", "gateway-api")
ANY, TEST = "", "demo-glimpse-test"
EXCEPTIONS = {
    (
        "CKV_K8S_15",
        ANY,
    ): "A tag is a version and a digest is a digest, so the node's copy is the same; pulling always makes a"
    " registry that is away into an outage.",
    ("CKV_K8S_43", ANY): "Whoever builds the images knows their digests: gateway.image.digest, triton.image.digest.",
    ("CKV_K8S_8", TEST): "The pod of `helm test` asks once and ends.",
    ("CKV_K8S_9", TEST): "The pod of `helm test` asks once and ends.",
    ("CKV2_K8S_6", TEST): "The pod of `helm test` listens on nothing and lives for seconds.",
}

pytestmark = pytest.mark.ops


def test_checkov_finds_nothing_else(checkov, tmp_path):
    """No object of these cases fails a check of checkov's that is not argued above, and every argument is needed."""
    for name in CASES:
        text = yaml.safe_dump_all(case_objects(name))
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    run = subprocess.run(
        [checkov, "--directory", str(tmp_path), "--framework", "kubernetes", "--skip-download", "--compact", "--quiet",
         "--output", "json"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    report = json.loads(run.stdout)
    failed = {(each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]}
    argued = {(check, name) for check, name in failed for known, part in EXCEPTIONS if known == check and part in name}
    assert report["summary"]["passed"] > 100
    assert failed - argued == set()
    assert {check for check, _ in argued} == {check for check, _ in EXCEPTIONS}
