# SPDX-License-Identifier: GPL-2.0-only
"""Scanners that lie, crash or flood: invariant hostile-bytes-in-the-box. A lie spoils the liar's own cases alone."""
import os
import time

from harness import CLEAN, MARKER, SLACK, Host, Suite, distribution, eventually

suite = Suite("lies")

LIES = ("wrong-case", "zero-case", "wrong-version", "bad-kind", "no-verdict", "bad-reason", "clean-with-reason",
        "clean-with-heuristics", "unknown-heuristics", "signature-with-reason",
        "endless-signature", "half-frame", "one-byte", "giant-frame", "descriptors", "flood", "crash", "leave", "silence",
        "hostile-text")


@suite.test("workers that lie")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="3s"), scanner={"scan_time": "4s", "workers": "4"})
        host.stand_in()
        host.start()
        gate, loader = host.pid("gate"), host.pid("loader")
        for number, lie in enumerate(LIES):
            liars = [host.put("lie-%s-%d" % (lie, i), b"lie:%s \n%d " % (lie.encode(), i) + MARKER, host.outside)
                     for i in range(2)]
            honest = [host.put("%s-%d-%d" % ("bad" if i % 2 else "good", number, i),
                               (MARKER if i % 2 else CLEAN) + b"%d %d" % (number, i), host.outside) for i in range(10)]
            moved = []
            for path in liars + honest:
                target = os.path.join(host.watched, os.path.basename(path))
                os.rename(path, target)
                moved.append(target)
            attempts = host.openers(len(moved), *moved).wait()
            lied = [a for a in attempts if "/lie-" in a.path]
            rest = [a for a in attempts if "/lie-" not in a.path]
            suite.check("the lie %s lets nothing through" % lie, len(lied) == 2 and all(
                a.error == 1 and a.bytes == 0 for a in lied), [(a.error, a.bytes) for a in lied])
            wrong = [os.path.basename(a.path) for a in rest if (a.error == 1) != ("/bad" in a.path)]
            suite.check("the lie %s spoils no other case" % lie, len(rest) == 10 and not wrong, wrong)
            suite.check("the lie %s holds nobody up" % lie, all(a.waited <= 3.1 + SLACK for a in attempts),
                        distribution([a.waited for a in attempts]))
            rows = eventually(lambda: host.blocked("--path", lied[0].path), 3 + SLACK) if lied else None
            expected = "infected" if lie in ("hostile-text", "endless-signature") else "unscanned"
            suite.check("the lie %s is on record as what it is" % lie, rows and
                        rows[0]["verdict"] in (expected, "unscanned"), rows)
            text = host.tool("blocked", "--path", host.watched)[1]
            suite.check("the lie %s forges nothing in the list" % lie, not any(
                c in text for c in "\x1b\x07") and not any(line.startswith("2026-01-01 forged")
                                                           for line in text.splitlines()), text[:200])
        suite.check("no lie of a worker ended the gate", host.pid("gate") == gate, host.log()[-300:])
        suite.check("no lie of a worker ended the loader", host.pid("loader") == loader, host.log()[-300:])
        suite.check("no lie is remembered: a lie's copy is scanned anew", host.read(
            host.put("honest-copy", b"this lie:wrong-case is not at the start")) is not None)


@suite.test("a worker that answers for the cases of others")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="10s"), scanner={"workers": "4"})
        bad = [host.put("bad-%d" % i, MARKER + b"%d" % i) for i in range(30)]
        liar = host.put("liar", b"lie:other-cases \n" + MARKER)
        host.stand_in()
        host.start()
        host.behave("hold")
        first = host.openers(3, *bad[:3])
        host.wait_waiting(3)
        lying = host.openers(1, liar, processes=1)
        host.wait_waiting(3)
        later = host.openers(27, *bad[3:])
        time.sleep(1.5)
        suite.check("a case that somebody else has is not answered by a liar", first.running())
        host.behave()
        attempts = first.wait() + later.wait() + lying.wait()
        through = [a.path for a in attempts if a.bytes]
        suite.check("no infected file got through by another worker's word", not through, through)
        after = host.openers(30, *bad).wait()
        suite.check("and nothing false is remembered", not [a for a in after if a.bytes], len(after))


@suite.test("a loader that lies to the gate")
def _(suite):
    for lie in ("half-frame", "giant-frame", "bad-kind", "worker-without-socket", "worker-is-a-file", "descriptors",
                "many-workers"):
        with Host(suite) as host:
            host.policy(host.watch(deadline="2s"))
            bad, good, free = host.put("bad", MARKER), host.put("good", CLEAN), host.put("free", MARKER, host.outside)
            host.stand_in()
            host.start()
            gate = host.pid("gate")
            host.behave("nursery " + lie)
            os.kill(host.pid("loader"), 9)
            denied = eventually(lambda: host.probe("open", bad).rc == 1, 10)
            suite.check("a loader's %s lets nothing through" % lie, denied, host.log()[-300:])
            suite.check("a loader's %s leaves other files alone" % lie, host.read(free) == MARKER)
            host.behave()
            suite.check("after a loader's %s an honest one serves" % lie,
                        eventually(lambda: host.read(good) is not None, 15, 0.2), host.log()[-300:])
            suite.check("a loader's %s does not end the gate" % lie, host.pid("gate") == gate, host.log()[-300:])
            suite.check("after a loader's %s infected files are denied" % lie, host.read(bad) is None)


@suite.test("a loader that does not beat")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(deadline="3s"))
        good, bad = host.put("good", CLEAN), host.put("bad", MARKER)
        host.stand_in()
        host.start()
        loader = host.pid("loader")
        host.behave("deaf")
        time.sleep(0.5)
        suite.check("workers go on while their loader is silent", host.read(good) == CLEAN and host.read(bad) is None)
        host.behave()
        time.sleep(0.2)
        host.behave("deaf")
        replaced = eventually(lambda: host.pids().get("loader") not in (None, loader), 8)
        host.behave()
        suite.check("a loader that does not beat is replaced", replaced or eventually(
            lambda: host.pids().get("loader") not in (None, loader), 8), host.log()[-300:])
        fresh = host.put("fresh", CLEAN + b"fresh")
        suite.check("and the next one serves", eventually(lambda: host.read(fresh) is not None, 15, 0.2))


suite.main()
