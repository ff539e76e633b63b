# SPDX-License-Identifier: GPL-2.0-only
# vm: alone
"""Full mode, the response to a finding: what is moved away can't be read by who has it open, what is allowed opens at once,
what new definitions find is shut, and all of it holds while no daemon runs.

invariants: no-byte-before-verdict, nothing-lost
"""
import errno
import hashlib
import os

from full_mode import USER, FullHost, check_nothing_left, in_child, refused
from harness import CLEAN, EICAR, MARKER, Suite, eventually

suite = Suite("vm_respond", limit=400)
LATER = b"a worm that no signature knows on the day on which it is delivered\n"


def read(path):
    """The bytes, or None where it is refused or gone."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as error:
        return None if error.errno in (errno.EPERM, errno.ENOENT) else error.errno


def can(value):
    return bool(value) and all(v > 0 for v in value.values())


def explain(host, path):
    return host.tool_json("explain", path)[0]


def allow(host, *words):
    return host.tool("allow", "add", *words, "--reason", "a test", timeout=30)


def moved(host):
    return eventually(lambda: host.tool_json("quarantine", "list"), 30)


@suite.test("moved away under a reader who had it open")
def _(suite):
    with FullHost(suite) as host:
        host.policy(host.watch(store="maildir", deadline="30s"))
        folder = host.watched + "/anna/Maildir/cur/"
        bad, good = host.put(folder + "1.M1P1.host:2,S", MARKER), host.put(folder + "2.M2P2.host:2,S", CLEAN)
        reader = host.puppet(uid=USER)
        early, clean = reader.do("open", "r", bad), reader.do("open", "r", good)
        suite.check("control: without the guard his descriptors read", can(reader.read_ways(early)) and
                    can(reader.read_ways(clean)))
        host.guard()
        suite.check("its open is denied", read(bad) is None)
        items = moved(host) or [{}]
        suite.check("it is in the quarantine", len(items) == 1 and items[0].get("path") == bad, items)
        suite.check("and gone from its folder", not os.path.lexists(bad))
        ways = reader.read_ways(early)
        suite.check("where it lies now he reads nothing by the descriptor that he had", refused(ways), ways)
        error = in_child(lambda: open("/proc/%d/fd/%d" % (reader.pid, early), "rb").read(1), uid=USER)
        suite.check("nor by opening it anew", error == errno.EPERM, error)
        suite.check("a clean message beside it reads", read(good) == CLEAN and can(reader.read_ways(clean)))
        host.kill()
        ways = reader.read_ways(early)
        suite.check("no daemon: nothing of it either", refused(ways), ways)
        host.guard()
        ways = reader.read_ways(early)
        suite.check("after a restart neither", refused(ways), ways)
        rc, text = host.tool("quarantine", "restore", items[0]["id"], timeout=30)
        suite.check("restored, it lies under its name", rc == 0 and os.path.exists(bad), (rc, text, host.error))
        suite.check("and its opens stay denied", read(bad) is None and os.path.exists(bad))
        rc, text = allow(host, "--sha256", hashlib.sha256(MARKER).hexdigest())
        suite.check("allowed, it opens", rc == 0 and eventually(lambda: read(bad) == MARKER, 10), (rc, text, explain(host, bad)))
        suite.check("and his descriptor reads it", can(reader.read_ways(early)), reader.read_ways(early))
        second = folder + "3.M3P3.host:2,S"
        with open(second, "wb") as f:
            f.write(MARKER + b"again")
        suite.check("control: another is denied and moved", read(second) is None and eventually(
            lambda: not os.path.lexists(second), 20))
        identity = [item["id"] for item in moved(host) if item["path"] == second]
        rc, text = host.tool("release", identity[0], timeout=30)
        suite.check("released, it is back and opens", rc == 0 and eventually(
            lambda: read(second) == MARKER + b"again", 10), (rc, text, host.error))
        reader.end()
        host.release()
    check_nothing_left(suite)


@suite.test("allowed at once, and no longer than it is meant to be")
def _(suite):
    with FullHost(suite) as host:
        host.policy(host.watch(deadline="30s"))
        first, other = host.put("first", EICAR), host.put("other", MARKER)
        host.guard()
        suite.check("control: both are denied", read(first) is None and read(other) is None)
        before = host.counter("accesses")
        suite.check("control: the second time by the kernel alone", read(first) is None and
                    host.counter("accesses") == before, (before, host.counter("accesses")))
        rc, text = allow(host, "--signature", explain(host, first)["signature"])
        suite.check("the moment the command returns, it opens", rc == 0 and read(first) == EICAR,
                    (rc, text, host.error, explain(host, first)))
        suite.check("another signature is denied all the same", read(other) is None)
        suite.check("what an open would get is said", explain(host, first)["answer"] == "allow", explain(host, first))
        host.kill()
        suite.check("no daemon: what is allowed is read, the other is not", read(first) == EICAR and read(other) is None)
        host.guard()
        scans = host.counter("scans")
        suite.check("after a restart too, without a scan", read(first) == EICAR and host.counter("scans") == scans,
                    (scans, host.counter("scans")))
        held = os.open(first, os.O_RDONLY)
        suite.at_end(lambda: os.close(held))
        rc, text = host.tool("allow", "remove", "1", timeout=30)
        suite.check("taken back, it is denied", rc == 0 and read(first) is None, (rc, text, host.error))
        rc, text = allow(host, "--sha256", hashlib.sha256(MARKER).hexdigest(), "--until", "4s")
        suite.check("a content for four seconds: it opens", rc == 0 and read(other) == MARKER, (rc, text, host.error))
        suite.check("and is denied when they are over", eventually(lambda: read(other) is None, 15), explain(host, other))
        host.release()
    check_nothing_left(suite, "allowed")


@suite.test("what new definitions find is shut, the old mail too")
def _(suite):
    with FullHost(suite) as host:
        words = ("on-open", "background", "never")
        host.policy(*[host.watch(host.watched + "/" + word, recheck=word, deadline="30s") for word in words])
        paths = {word: host.put(word + "/file", LATER) for word in words}
        clean = {word: host.put(word + "/clean", CLEAN) for word in words}
        host.guard()
        suite.check("control: today they are clean", all(read(path) == LATER for path in paths.values()) and
                    all(read(path) == CLEAN for path in clean.values()))
        judged = explain(host, paths["never"])["judged"]
        suite.check("control: it is told when it was judged", bool(judged), judged)
        held = {word: os.open(path, os.O_RDONLY) for word, path in paths.items()}
        suite.at_end(lambda: [os.close(fd) for fd in held.values()])
        host.define({"Mailward.Test.Eicar": EICAR, "Mailward.Test.Marker": MARKER, "Mailward.Test.Later": LATER})
        suite.check("new definitions are noticed", eventually(
            lambda: host.tool_json("definitions")[0]["signatures"] == 3, 60, 0.5), host.tool_json("definitions"))

        def by_descriptor(word):
            try:
                return os.pread(held[word], 1000, 0)
            except OSError as error:
                return error.errno
        suite.check("background: shut before anybody opens it, for who has it open too", eventually(
            lambda: by_descriptor("background") == errno.EPERM, 30), (by_descriptor("background"), host.log()[-300:]))
        suite.check("on-open: shut at the next open", read(paths["on-open"]) is None)
        suite.check("and from then on for who has it open", by_descriptor("on-open") == errno.EPERM)
        suite.check("never: it goes on being read", read(paths["never"]) == LATER and by_descriptor("never") == LATER)
        suite.check("by the verdict that it had", explain(host, paths["never"])["judged"] == judged, (judged, explain(
            host, paths["never"])))
        suite.check("clean ones go on being read in each", all(read(path) == CLEAN for path in clean.values()))
        host.kill()
        suite.check("no daemon: what was found stays shut", read(paths["on-open"]) is None and
                    read(paths["background"]) is None)
        suite.check("and what was approved under `never` open", read(paths["never"]) == LATER)
        host.release()
    check_nothing_left(suite, "definitions")


suite.main()
