# SPDX-License-Identifier: GPL-2.0-only
"""`exec = never`: attachments are not executed, whatever they hold, and stay readable. In reduced mode too: fanotify asks
for executions apart (FAN_OPEN_EXEC_PERM)."""
import time

from harness import MARKER, Host, Suite, eventually

suite = Suite("exec")
SCRIPT = b"#!/bin/sh\necho ran\n"


def programs(host, where=None):
    """A binary and a script, both clean."""
    with open("/bin/true", "rb") as f:
        return host.put("binary", f.read(), where, 0o755), host.put("script", SCRIPT, where, 0o755)


def rows_of(host, path):
    return eventually(lambda: host.blocked("--path", path), 5) or []


def runs(host, path):
    return host.probe("exec", path).rc == 0


@suite.test("never")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(exec="never"))
        binary, script = programs(host)
        elsewhere = programs(host, host.outside)
        suite.check("control: both run without the guard", runs(host, binary) and runs(host, script))
        host.start()
        for name, path in (("program", binary), ("script with #!", script)):
            result = host.probe("exec", path)
            suite.check("a clean %s is not executed" % name, result.rc == 1, result)
            suite.check("and is read", host.read(path) is not None)
            rows = rows_of(host, path)
            suite.check("its record is of an exec, denied as exec-never by the line that says so", rows and
                        rows[0]["access"] == "exec" and rows[0]["answer"] == "deny" and
                        rows[0]["reason"] == "exec-never" and rows[0]["verdict"] == "none" and
                        not rows[0]["signature"] and ":" in rows[0]["policy"], rows)
        suite.check("no scan was needed for that", host.counter("denied") >= 2)
        suite.check("--reason exec-never finds both", {r["path"] for r in host.blocked("--reason", "exec-never")} >=
                    {binary, script}, host.blocked())
        suite.check("--reason infected finds neither", not host.blocked("--reason", "infected"))
        suite.check("control: outside of the watch both run", all(runs(host, path) for path in elsewhere))
        host.policy(host.watch())
        suite.check("control: without the word they run", host.tool("reload")[0] == 0 and runs(host, binary) and
                    runs(host, script))


@suite.test("never, and the other words")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(exec="never", mode="observe"))
        binary, script = programs(host)
        host.start()
        suite.check("observe lets it run", runs(host, binary))
        rows = rows_of(host, binary)
        suite.check("and records would-deny", rows and rows[0]["answer"] == "would-deny" and
                    rows[0]["reason"] == "exec-never", rows)
    with Host(suite) as host:
        host.policy(host.watch(exec="never", store="maildir"))
        control = host.put("dovecot-keywords", SCRIPT, mode=0o755)
        empty = host.put("empty", b"", mode=0o755)
        bad = host.put("bad", SCRIPT + b"# " + MARKER, mode=0o755)
        suite.check("control: a control file's name runs without the guard", runs(host, control))
        host.start()
        suite.check("the name of a control file does not help", host.probe("exec", control).rc == 1)
        suite.check("an empty file is left alone", host.probe("exec", empty).rc != 1, host.probe("exec", empty))
        suite.check("an infected one is denied for both, each by its own rule", host.probe("exec", bad).rc == 1 and
                    host.probe("open", bad).rc == 1 and
                    eventually(lambda: {r["reason"] for r in host.blocked("--path", bad)} == {"exec-never", ""}, 5),
                    host.blocked("--path", bad))


@suite.test("never, while the scanner is away")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(exec="never", deadline="20s"))
        binary, _ = programs(host)
        host.stand_in("hold")
        host.start()
        started = time.monotonic()
        result = host.probe("exec", binary)
        suite.check("it is denied at once, without a scan", result.rc == 1 and time.monotonic() - started < 1 + 5 and
                    host.counter("scans") == 0, (result, time.monotonic() - started))
        host.behave()


suite.main()
