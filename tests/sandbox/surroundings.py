"""Makes a process and its children believe that they run on an older kernel."""

from __future__ import annotations

from collections.abc import Collection

from server.sandbox.bpf import Answer, Rule, program
from server.sandbox.kernel import forbid_privileges
from server.sandbox.seccomp import put_on
from server.sandbox.syscalls import machine


def surround(without: Collection[str]) -> None:
    """Let `landlock` or `seccomp` be unknown to the kernel from here on."""
    found = machine()
    if not without:
        return
    assert found is not None
    calls = {"landlock": found.landlock_create_ruleset, "seccomp": found.seccomp}
    rules = [Rule(calls[each], Answer.NOT_THERE) for each in without]
    forbid_privileges()
    put_on(found, program(found.audit, rules, Answer.ALLOW, last_known=2**29))
