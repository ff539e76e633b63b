#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The whole daemon with engine = clamd: Debian's clamd says what is infected, the door holds, status knows of clamd."""
import os, sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "scanner"))
from clamd_host import Clamd
from harness import CLEAN, EICAR, Host, Suite, eventually
from samples import mail, ndb, zipped

suite = Suite("clamd_door")


def issues(host):
    return {issue["id"]: issue for issue in (host.status() or {}).get("issues", [])}


def explained(host, path):
    return host.tool_json("explain", path)[0]


def guarded(host, clamd):
    host.policy(scanner={"engine": "clamd", "clamd-socket": clamd.socket, "scan-time": "3s"})
    host.define({})
    for name in os.listdir(f"{host.base}/definitions"):
        os.unlink(f"{host.base}/definitions/{name}")


def clamd_of(host, **settings):
    clamd = Clamd(f"{host.base}/clamd", {"test.ndb": ndb("Mailward.Test.Eicar", EICAR)}, **settings)
    suite.at_end(clamd.stop)
    clamd.start()
    suite.track(clamd.process.pid)
    return clamd


@suite.test("an infected file is denied by clamd's signatures, a clean one opens")
def _(_suite):
    if not os.path.exists("/usr/sbin/clamd"):
        suite.skip("engine = clamd", "not installed: clamav-daemon")
        return
    with Host(suite) as host:
        bad, clean = host.put("bad", mail(zipped(EICAR))), host.put("clean", CLEAN)
        suite.check("control: it can be read without the guard", open(bad, "rb").read() == mail(zipped(EICAR)))
        clamd = clamd_of(host)
        guarded(host, clamd)
        host.start()
        suite.check("healthy: the canaries were refused, for an open and for an exec", not issues(host), issues(host))
        suite.check("the infected one is denied", host.probe("open", bad).rc == 1)
        suite.check("the clean one opens", host.probe("open", clean).rc == 0)
        rows = eventually(lambda: [row for row in host.blocked() if row["path"] == bad], 5) or [{}]
        suite.check("blocked names clamd's signature", rows[0].get("signature") == "Mailward.Test.Eicar.UNOFFICIAL", rows)
        said = explained(host, bad)
        suite.check("explain says who found it", "clamd: Mailward.Test.Eicar.UNOFFICIAL" in (said.get("detail") or ""), said)
        said = explained(host, clean)
        suite.check("explain: clean needs the word of both", said.get("verdict") == "clean", said)
        suite.check("explain: clamd was asked, libclamav's signatures were not", said["levels"]["clamd"] == "nothing found" and
                    said["levels"]["libclamav"] == "not asked", said)
        definitions = (host.status() or {}).get("definitions", {})
        suite.check("status: the definitions are clamd's, how many is not known",
                    definitions.get("version", "").startswith("clamd: ClamAV ") and definitions.get("signatures") is None, definitions)
        shown = host.tool_json("check", host.config)[0].get("scanner", {})
        suite.check("check says whose signatures they are",
                    (shown.get("engine"), shown.get("clamd_socket")) == ("clamd", clamd.socket), shown)
        suite.check("in words too", f"engine: clamd, whose signatures these are, at {clamd.socket}" in host.tool("check", host.config)[1])
        rc, text = host.tool("definitions")
        suite.check("definitions: fine", rc == 0 and "clamd: ClamAV" in text, (rc, text))


@suite.test("other deny-types void what was judged")
def _(_suite):
    if not os.path.exists("/usr/sbin/clamd"):
        suite.skip("other deny-types", "not installed: clamav-daemon")
        return
    with Host(suite, "ext4") as host:
        script = host.put("script", b"#!/bin/sh\necho " + CLEAN)
        clamd = clamd_of(host)
        guarded(host, clamd)
        host.start()
        suite.check("deny-types: control: it opens", host.probe("open", script).rc == 0)
        host.stop()
        host.start()
        before = host.counter("scans")
        suite.check("deny-types: control: a restart alone has nothing judged anew",
                    host.probe("open", script).rc == 0 and host.counter("scans") == before, host.counter("scans"))
        host.stop()
        scanner = {"engine": "clamd", "clamd-socket": clamd.socket, "scan-time": "3s"}
        host.policy(host.watch(), "attachments { deny-types = { script } }\n", scanner=scanner)
        host.start()
        suite.check("deny-types: what was clean is judged anew, and denied",
                    eventually(lambda: host.probe("open", script).rc == 1, 10), explained(host, script))


@suite.test("clamd ends: what is new is unscanned, what was judged stays judged, status says so until it is back")
def _(_suite):
    if not os.path.exists("/usr/sbin/clamd"):
        suite.skip("clamd ends", "not installed: clamav-daemon")
        return
    with Host(suite) as host:
        known, new = host.put("known", b"known " + CLEAN), host.put("new", b"new " + CLEAN)
        clamd = clamd_of(host)
        guarded(host, clamd)
        host.start()
        suite.check("control: it opens", host.probe("open", known).rc == 0)
        clamd.stop(9)
        suite.check("what was judged opens", host.probe("open", known).rc == 0)
        suite.check("what was not is denied", host.probe("open", new).rc == 1)
        rows = eventually(lambda: [row for row in host.blocked() if row["path"] == new], 5) or [{}]
        suite.check("as unscanned(engine-error)", (rows[0].get("verdict"), rows[0].get("reason")) == ("unscanned", "engine-error"), rows)
        suite.check("status has the issue", eventually(lambda: "clamd" in issues(host), 10), issues(host))
        suite.check("and exit code 1", host.tool("status")[0] == 1)
        clamd.start()
        suite.track(clamd.process.pid)
        suite.check("the issue is over when it is back", eventually(lambda: "clamd" not in issues(host), 10), issues(host))
        newer = host.put("newer", b"newer " + CLEAN)
        suite.check("and what is new opens", host.probe("open", newer).rc == 0)


@suite.test("a clamd that says OK of what is beyond its limits approves nothing")
def _(_suite):
    if not os.path.exists("/usr/sbin/clamd"):
        suite.skip("a clamd without AlertExceedsMax", "not installed: clamav-daemon")
        return
    with Host(suite) as host:
        clean, bad = host.put("clean", CLEAN), host.put("bad", EICAR)
        clamd = clamd_of(host, AlertExceedsMax="no")
        guarded(host, clamd)
        host.start()
        suite.check("a clean file is denied", host.probe("open", clean).rc == 1)
        suite.check("an infected one too", host.probe("open", bad).rc == 1)
        found = issues(host).get("clamd", {})
        suite.check("status says what to set", "AlertExceedsMax" in found.get("text", ""), issues(host))


suite.main()
