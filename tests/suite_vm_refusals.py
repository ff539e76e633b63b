# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, `refusals-while-down-are-recorded`: what the kernel refuses by itself while no daemon runs is in the history
after the next start, with who and what and when."""
import datetime
import os
import time

from full_mode import USER, as_user
from harness import CLEAN, MARKER, Suite, eventually, helper
from held import GuardedHost, got, last_test

suite = Suite("vm_refusals")


def when(row):
    return datetime.datetime.fromisoformat(row["time"].replace("Z", "+00:00")).timestamp()


@suite.test("refusals while no daemon runs")
def _(suite):
    with GuardedHost(suite) as host:
        host.stand_in()
        os.chmod(host.base, 0o755)
        probe = host.program(helper("probe"), "probe")
        approved, bad = host.put("approved", CLEAN + b"approved"), host.put("bad", MARKER)
        program = host.put("program", b"#!/bin/sh\nexit 0\n" + CLEAN, mode=0o755)
        control = suite.run(as_user([probe, "open", bad]))
        suite.check("control: without the guard a user reads it", control.rc == 0 and control.bytes, control)
        host.guard()
        host.approve(approved)
        held = os.open(approved, os.O_RDONLY)
        suite.at_end(lambda: os.close(held))
        host.kill()
        down = time.time()
        fresh = host.put("folder/fresh", CLEAN + b"fresh")
        tries = (("open", fresh, USER), ("open", bad, USER), ("mmap", fresh, 0), ("exec", program, USER), ("open", approved, USER))
        for verb, path, uid in tries:
            argv = [probe, verb, path]
            result = suite.run(as_user(argv) if uid else argv)
            denied = result.rc == 1 or verb == "exec" and result.rc == 3
            suite.check("while it is down: %s of %s by %d is %s" % (verb, os.path.basename(path), uid,
                                                                   "allowed" if path == approved else "refused"),
                        result.rc == 0 and result.bytes if path == approved else denied and not result.bytes, result)
        with open(approved, "ab") as f:
            f.write(b"changed")
        try:
            changed = os.pread(held, 100, 0)
        except PermissionError:
            changed = None
        suite.check("while it is down: a descriptor whose file was changed is refused", changed is None, changed)
        for _ in range(5):
            got(fresh)
        time.sleep(1.5)
        up = time.time()
        host.guard()
        for path in (fresh, bad, program, approved):
            name = os.path.basename(path)
            rows = host.rows(path)
            before = [r for r in rows if when(r) < up]
            suite.check("the refusals of %s are in the history" % name, rows, host.blocked()[-5:])
            suite.check("%s: with the time when it was, before the start" % name,
                        before and all(down - 2 <= when(r) for r in before), (down, up, rows))
            suite.check("%s: by the kernel while no gate ran" % name, before and all(r["answer"] == "deny" for r in before), before)
        uids = {(os.path.basename(r["path"]), r["uid"]) for r in host.blocked()}
        suite.check("with the user who was refused", {("fresh", USER), ("fresh", 0), ("bad", USER), ("program", USER)} <= uids, uids)
        rows = host.blocked("--path", program)
        suite.check("an exec is told as one", any(r["access"] == "exec" for r in rows), rows)
        told = sum(r["count"] for r in host.blocked("--path", fresh) if r["uid"] == 0)
        suite.check("each one is counted", told >= 6, told)
        rc, text = host.tool("blocked", "--path", fresh)
        suite.say(text.strip().splitlines()[-1][:150] if text.strip() else "")
        suite.check("what was not judged is told as unscanned, what was known as infected",
                    all(r["verdict"] == "unscanned" for r in host.blocked("--path", fresh)) and
                    any(r["verdict"] == "infected" for r in host.blocked("--path", bad)), host.blocked())
        suite.check("after the start a clean file is read", eventually(lambda: got(fresh), 10))


@suite.test("more refusals than anybody keeps")
def _(suite):
    """The ring buffer is full: the rest is counted, and the gap is told."""
    with GuardedHost(suite) as host:
        host.stand_in()
        paths = [host.put("file-%d" % i, CLEAN + b"%d" % i) for i in range(50)]
        host.guard()
        host.kill()
        attempts = host.openers(5000, *paths).wait()
        suite.check("control: all are refused", sum(a.bytes for a in attempts) == 0, sum(a.bytes for a in attempts))
        host.guard()

        def told():
            return sum(r["count"] for r in host.blocked())
        suite.check("5000 refusals of a time without a daemon are told or counted",
                    eventually(lambda: told() >= 5000, 15), told())
        suite.say("told: %d in %d rows" % (told(), len(host.blocked())))


last_test(suite)
suite.main()
