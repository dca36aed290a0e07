"""The interface of gRPC: its style, its generated code, and that no change breaks clients."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROTO = "glimpse/v1/micro_expressions.proto"
BIN = Path(sys.executable).parent
COMMITTED = ROOT / "proto" / "v1.binpb"


def buf(*arguments, cwd=ROOT):
    """Its answer, as an object with `returncode` and `stdout`."""
    return subprocess.run([str(BIN / "buf"), *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_the_interface_keeps_the_rules_of_style():
    """Those of `buf lint`, as `buf.yaml` chooses them."""
    done = buf("lint")
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_change_breaks_a_client():
    """Every client of what was committed can still speak to what is here."""
    done = buf("breaking", "--against", str(COMMITTED))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "becomes"),
    [("int64 frame_index = 1;", "int32 frame_index = 1;"), ("double time_s = 3;", "double time_s = 33;")],
)
def test_a_change_that_breaks_clients_is_noticed(tmp_path, was, becomes):
    """Another type, or another number."""
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    changed = tmp_path / "proto" / PROTO
    text = changed.read_text(encoding="utf-8")
    assert was in text
    changed.write_text(text.replace(was, becomes), encoding="utf-8")
    assert buf("breaking", "--against", str(COMMITTED), cwd=tmp_path).returncode != 0


def test_the_generated_code_is_that_of_the_interface(tmp_path):
    """`make proto` would change nothing."""
    outputs = [f"--{kind}_out={tmp_path}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    plugins = [f"--plugin={name}={BIN / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", *plugins, *outputs, f"proto/{PROTO}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    generated = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    committed = {name: (ROOT / "stubs" / name).read_bytes() for name in generated}
    assert len(generated) == 4
    assert [str(name) for name in generated if generated[name] != committed[name]] == []
