# SPDX-License-Identifier: GPL-2.0-only
"""What the policy decides, seen at the open: modes, stores, actions, reload; invariant never-two-valued."""
import io
import json
import os
import signal
import time
import zipfile

from harness import CLEAN, EICAR, MARKER, SLACK, Host, Suite, eventually

suite = Suite("modes")


def encrypted_zip():
    """Says that its member is encrypted, and what it holds looks like it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("secret.txt", os.urandom(200))
    data = bytearray(out.getvalue())
    local, central = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    data[local + 6] |= 1
    data[central + 8] |= 1
    return bytes(data)


def rows_of(host, path):
    return eventually(lambda: host.blocked("--path", path), 3 + SLACK) or []


@suite.test("observe")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(mode="observe"))
        bad = host.put("bad", MARKER)
        host.start()
        result = host.probe("open", bad)
        suite.check("observe lets an infected file through", result.rc == 0 and result.bytes == len(MARKER), result)
        rows = rows_of(host, bad)
        suite.check("and records would-deny", rows and rows[0]["answer"] == "would-deny" and
                    rows[0]["verdict"] == "infected" and rows[0]["signature"], rows)
        suite.check("control: a policy that enforces denies the same file", enforce(host) and host.read(bad) is None)
    with Host(suite) as host:
        host.policy(host.watch(mode="observe", deadline="20s"))
        bad = host.put("bad", MARKER)
        host.stand_in()
        host.start()
        host.behave("hold")
        started = time.monotonic()
        suite.check("observe never holds: an open does not wait for the scanner", host.read(bad) == MARKER and
                    time.monotonic() - started < 1 + 5)
        host.behave()
        suite.check("what it would have denied comes when the scan has ended",
                    any(r["answer"] == "would-deny" for r in rows_of(host, bad)), host.blocked())


def enforce(host):
    host.policy(host.watch())
    return host.tool("reload")[0] == 0


@suite.test("off")
def _(suite):
    with Host(suite) as host:
        part = host.watched + "/part"
        os.mkdir(part)
        host.policy(host.watch(), host.watch(part, mode="off"))
        bad, hidden = host.put("bad", MARKER), host.put("bad", MARKER, part)
        host.start()
        suite.check("a watch that is off switches off a part of a larger one", host.read(hidden) == MARKER)
        suite.check("control: the larger one is on", host.read(bad) is None)


@suite.test("stores that are never denied")
def _(suite):
    for store in ("mbox", "mdbox", "postfix-queue"):
        with Host(suite) as host:
            host.policy(host.watch(store=store, on_infected="report"))
            bad = host.put("incoming/A/4711", MARKER)
            host.start()
            denied = 0
            for verb in ("open", "open-rdwr", "open-write", "pread", "mmap"):
                result = host.probe(verb, bad)
                denied += result.rc != 0
            suite.check("%s: an infected file is never denied" % store, denied == 0, denied)
            rows = rows_of(host, bad)
            suite.check("%s: it is reported" % store, rows and rows[0]["answer"] == "would-deny" and
                        rows[0]["verdict"] == "infected", rows)
            suite.check("control: the same in a store of files is denied", enforce(host) and host.read(bad) is None)
        with Host(suite) as host:
            host.policy(host.watch(store=store, deadline="20s", on_infected="report"))
            bad = host.put("incoming/A/4711", MARKER)
            host.stand_in()
            host.start()
            host.behave("hold")
            started = time.monotonic()
            suite.check("%s: an open is never held" % store, host.read(bad) == MARKER and
                        time.monotonic() - started < 1 + 5, time.monotonic() - started)
            host.behave()


@suite.test("maildir")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(store="maildir"))
        for name in ("cur", "new", "tmp"):
            os.mkdir(host.watched + "/" + name)
        bad = host.put("new/1.M1P1.host", b"Subject: x\n\n" + MARKER + b"\n")
        good = host.put("new/2.M1P1.host", b"Subject: x\n\nhello\n")
        control = host.put("dovecot-uidlist", b"3 V1 N1 G1\n" + MARKER)
        elsewhere = host.put("cur/dovecot.index.log", b"x" + MARKER)
        program = host.put("dovecot-keywords", b"#!/bin/sh\necho ran\n# " + MARKER, mode=0o755)
        suite.check("control: a program with the name of a control file runs without the guard",
                    host.probe("exec", program).rc == 0)
        host.start()
        suite.check("an infected message is denied", host.read(bad) is None)
        suite.check("a clean message is allowed", host.read(good))
        suite.check("a control file of the store is neither scanned nor denied", host.read(control))
        result = host.probe("exec", program)
        suite.check("a program with the name of a control file is judged when it is executed", result.rc == 1, result)
        suite.check("a file with such a name where the store keeps none is a file like any other",
                    host.read(elsewhere) is None)


@suite.test("unscanned is neither clean nor infected")
def _(suite):
    secret = encrypted_zip()
    large = os.urandom(3 << 20)
    for answer in ("deny", "allow"):
        with Host(suite) as host:
            host.policy(host.watch(on_encrypted=answer, on_limit=answer), scanner={"max_file_size": "2M",
                        "max_scan_size": "4M"})
            cases = {"encrypted": host.put("secret.zip", secret), "too-large": host.put("large", large)}
            control = host.put("control", CLEAN)
            host.start()
            for reason, path in cases.items():
                got = host.read(path)
                suite.check("unscanned(%s) with %s is answered so" % (reason, answer), (got is None) == (answer == "deny"),
                            got and len(got))
                rows = rows_of(host, path)
                if answer == "deny":
                    suite.check("and shown as unscanned(%s)" % reason, rows and rows[0]["verdict"] == "unscanned" and
                                rows[0]["reason"] == reason and not rows[0]["signature"], rows)
                    suite.check("--reason %s finds it" % reason,
                                [r["path"] for r in host.blocked("--reason", reason)] == [path])
                    suite.check("--reason infected does not find unscanned(%s)" % reason,
                                path not in [r["path"] for r in host.blocked("--reason", "infected")])
                rc, text = host.tool("explain", path, "--json")
                suite.check("explain says unscanned(%s), and %s" % (reason, answer), rc == (1 if answer == "deny" else 0) and
                            "unscanned" in text and reason in text, (rc, text))
            suite.check("control: a clean file is allowed", host.read(control) == CLEAN)


@suite.test("no definitions")
def _(suite):
    for answer, wanted in (("deny", None), ("allow", EICAR)):
        with Host(suite, definitions=False) as host:
            host.policy(host.watch(on_error=answer))
            path, empty = host.put("file", EICAR), host.put("empty", b"")
            host.start()
            rc, text = host.tool("status")
            suite.check("without definitions the service runs, and says so with exit code 1 (%s)" % answer,
                        rc == 1 and "definition" in text, (rc, text))
            suite.check("every verdict is unscanned then: %s" % answer, host.read(path) == wanted)
            suite.check("an empty file is allowed all the same (%s)" % answer, host.read(empty) == b"")
            if answer == "deny":
                rows = rows_of(host, path)
                suite.check("and shown as unscanned(no-definitions)", rows and rows[0]["verdict"] == "unscanned" and
                            rows[0]["reason"] == "no-definitions", rows)


@suite.test("reload")
def _(suite):
    with Host(suite) as host:
        other = host.fs + "/other"
        os.mkdir(other)
        bad, elsewhere = host.put("bad", MARKER), host.put("bad", MARKER, other)
        host.start()
        suite.check("control: the first policy guards one folder", host.read(bad) is None and host.read(elsewhere))
        good_policy = open(host.config).read()
        for name, text in (("an unknown word", host.watch(sotre="files")), ("no closing brace", 'watch "/x" {\n'),
                           ("a value without unit", host.watch(deadline="5")),
                           ("a promise that a store can't keep", host.watch(store="mbox", on_infected="deny"))):
            host.write_policy(text)
            rc, out = host.tool("reload")
            suite.check("a policy with %s is refused at reload, with 2" % name, rc == 2, (rc, out))
            suite.check("file and line are named for %s" % name, "mailward.conf:" in out, out)
            os.kill(host.daemon.pid, signal.SIGHUP)
            time.sleep(0.2)
            suite.check("the old policy stays after %s" % name, host.read(bad) is None and host.read(elsewhere) == MARKER)
        suite.check("status tells that the last reload failed", eventually(lambda: host.status()["issues"], 3 + SLACK),
                    host.status()["issues"])
        host.policy(host.watch(), host.watch(other))
        rc, out = host.tool("reload")
        suite.check("a good policy is in force when reload answers", rc == 0 and host.read(elsewhere) is None, (rc, out))
        suite.check("and what was guarded still is", host.read(bad) is None)
        suite.check("status is healthy again", eventually(lambda: host.tool("status")[0] == 0, 5), host.tool("status"))
        host.policy(host.watch(other))
        suite.check("a watch that was taken out lets go", host.tool("reload")[0] == 0 and host.read(bad) == MARKER)
        host.write_policy(good_policy)
        os.kill(host.daemon.pid, signal.SIGHUP)
        suite.check("SIGHUP reloads too", eventually(
            lambda: host.read(bad) is None and host.read(elsewhere) == MARKER, 5), host.log()[-300:])


@suite.test("out of scope is free")
def _(suite):
    """Invariant out-of-scope-is-free: never denied, and not asked again after the first open."""
    with Host(suite) as host:
        files = [host.put("file-%d" % i, MARKER, host.outside) for i in range(50)]
        host.start()
        first = sum(host.read(path) is None for path in files)
        before = host.counter("accesses")
        denied = sum(host.read(path) is None for path in files for _ in range(20))
        asked = host.counter("accesses") - before
        suite.check("files outside every watch are never denied", first + denied == 0, (first, denied))
        suite.check("after the first open the gate is not asked again", asked < 50, asked)
        suite.say("1000 further opens of 50 files out of scope raised %d events" % asked)


@suite.test("identical content")
def _(suite):
    with Host(suite) as host:
        host.start()
        one = host.put("one", CLEAN * 100)
        host.read(one)
        before = host.counter("scans")
        for i in range(5):
            suite.check("a copy of clean content is allowed (%d)" % i, host.read(host.put("copy-%d" % i, CLEAN * 100)))
        suite.say("5 copies of clean content: %d scans, %d by SHA-256" %
                  (host.counter("scans") - before, host.counter("same_content")))
        suite.check("identical content is not scanned again", host.counter("same_content") > 0 and
                    host.counter("scans") - before < 5, host.counter("same_content"))
        bad = [host.put("bad-%d" % i, MARKER * 10) for i in range(3)]
        suite.check("identical infected content is denied each time", all(host.read(path) is None for path in bad))


@suite.test("a scan that begins when the writer closes")
def _(suite):
    with Host(suite) as host:
        host.start()
        before = host.counter("fetched_ahead")
        path = host.put("file", CLEAN + os.urandom(10))
        suite.check("a file that was written and closed is scanned before anybody opens it",
                    eventually(lambda: host.counter("fetched_ahead") > before, 5))
        suite.check("explain then knows its verdict without an open", eventually(
            lambda: "clean" in host.tool("explain", path)[1], 5), host.tool("explain", path))


@suite.test("definitions that are replaced")
def _(suite):
    with Host(suite) as host:
        new = b"only the second set of definitions " + b"knows marker-0815"
        path, other = host.put("file", new), host.put("other", MARKER)
        host.start()
        version = host.status()["definitions"]["version"]
        suite.check("control: the first definitions call it clean", host.read(path) == new)
        host.define({"Mailward.Test.Marker": MARKER, "Mailward.Test.New": b"marker-0815"})
        suite.check("new definitions are loaded without a word",
                    eventually(lambda: host.status()["definitions"]["version"] != version, 15, 0.2))
        results = [host.read(path) for _ in range(20) if time.sleep(0.1) is None]
        suite.check("with new definitions what was clean before is judged anew", results[-1] is None,
                    [r is not None for r in results])
        copies = [host.read(host.put("copy-%d" % i, new)) for i in range(20)]
        suite.check("and copies of it too, whichever worker scans them", not any(copies),
                    sum(c is not None for c in copies))
        suite.check("what was infected still is", host.read(other) is None)
        suite.check("no worker of the old definitions is left serving", eventually(
            lambda: host.counter("workers_serving") == len(host.workers()) <= 4, 15), len(host.workers()))


@suite.test("all workers are replaced at once")
def _(suite):
    with Host(suite) as host:
        host.start()
        loader, workers = host.pid("loader"), host.counter("workers_serving")
        os.kill(loader, signal.SIGKILL)  # they end with it
        seen = []

        def replaced():
            rc, text = host.tool("status", "--json")
            seen.append((rc, json.loads(text)["workers_serving"]))
            return host.pids().get("loader") not in (None, loader) and seen[-1][1] == workers
        suite.check("others come", workers and eventually(replaced, 20, 0), (workers, seen[-3:]))
        suite.check("control: there was a moment in which none served", any(n == 0 for _, n in seen), seen)
        suite.check("status can tell all the time", all(rc in (0, 1) for rc, _ in seen), seen)
        suite.check("and is healthy", eventually(lambda: host.tool("status")[0] == 0, 5), host.tool("status"))


@suite.test("start, stop and a second one")
def _(suite):
    with Host(suite) as host:
        bad = host.put("bad", MARKER)
        host.start()
        suite.check("it guards", host.read(bad) is None)
        second = host.start_refused(timeout=15)
        suite.check("a second one on the same folders ends by itself with an error", second.rc not in (0, 124), second)
        suite.check("and the first still guards", host.read(bad) is None and host.daemon.poll() is None)
        seconds = host.stop()
        suite.check("SIGTERM ends everything within two seconds", seconds < 2 + 5, seconds)
        suite.say("stop took %.2f s" % seconds)
        suite.check("control: after the stop the file opens", host.read(bad) == MARKER)
        rc, text = host.tool("status")
        suite.check("status says 3 when nothing runs", rc == 3, (rc, text))
        host.start()
        suite.check("started again it guards again", host.read(bad) is None)
        rows = host.blocked()
        suite.check("the history outlives a restart", sum(r["count"] for r in rows) >= 2, rows)
        host.stop()
        host.write_policy("nonsense {")
        result = host.start_refused()
        suite.check("a wrong policy ends the start with an error and one line that says where",
                    result.rc not in (0, 124) and "mailward.conf:" in result.err + result.out, result)
    for reason in ("no policy file", "a runtime directory that is a file"):
        with Host(suite) as host:
            if reason == "no policy file":
                os.unlink(host.config)
            else:
                host.runtime = host.put("file", b"", host.base)
            result = host.start_refused()
            suite.check("%s ends the start with an error" % reason, result.rc not in (0, 124) and
                        (result.err + result.out).strip(), result)


suite.main()
