#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Sweeps: mailward scan and the daily one. What they find, what they never follow or open, how they go on after a stop,
and that nobody waits for them.

invariants: never-two-valued, mail-keeps-flowing, nothing-lost
"""
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import threading
import time

from harness import BUILD, CLEAN, EICAR, MARKER, SLACK, Host, Suite, eventually

suite = Suite("sweep", limit=420)


def scan(host, *arguments, json_too=True, timeout=60):
    """(exit code, findings by path, summary); the tool's own words where it has no JSON."""
    rc, text = host.tool("scan", *(("--json",) if json_too else ()), *arguments, timeout=timeout)
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            rows.append({"kind": "words", "text": line})
    findings = {row["path"]: row for row in rows if row["kind"] == "finding"}
    summary = next((row for row in rows if row["kind"] == "summary"), {})
    return rc, findings, summary if summary else {"words": text}


def popen_scan(host, *arguments, **more):
    """As a process of its own, for what is stopped half-way."""
    return suite.popen([os.path.join(BUILD, "mailward"), "--runtime-dir", host.base + "/run", "--state-dir",
                        host.base + "/state", "scan", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **more)


@suite.test("infected among clean")
def _(suite):
    with Host(suite, "ext4") as host:
        outside = host.outside
        for i in range(200):
            host.put("tree/%d/clean-%d" % (i % 7, i), CLEAN + b"%d" % i, outside)
            host.put("mail/%d/clean-%d" % (i % 7, i), CLEAN + b"mail %d" % i)
        bad = host.put("tree/3/deeper/bad", EICAR, outside)
        watched = host.put("mail/4/bad", MARKER)
        empty = host.put("tree/empty", b"", outside)
        host.start()
        suite.check("control: outside of the watch it can be read", host.read(bad) == EICAR)
        rc, found, summary = scan(host, outside + "/tree")
        suite.check("infected among clean is found, where no watch is", rc == 1 and list(found) == [bad], (rc, found, summary))
        suite.check("its row says what it is", found.get(bad, {}).get("signature", "").startswith("Mailward.Test") and
                    found[bad]["verdict"] == "infected" and found[bad]["action"] == "reported" and found[bad]["watch"] == "",
                    found)
        suite.check("every file was looked at", summary.get("files") == 202 and summary["infected"] == 1 and
                    summary["unscanned"] == 0 and summary["state"] == "ended", summary)
        suite.check("and is still there", host.read(bad) == EICAR and os.path.exists(empty))
        rc, found, summary = scan(host, host.watched)
        suite.check("infected among clean is found in a watch", rc == 1 and list(found) == [watched] and
                    found[watched]["action"] == "denied" and found[watched]["watch"] == host.watched and
                    ":" in found[watched]["policy"], (rc, found, summary))
        rows = [r for r in host.blocked() if r.get("phase") == "sweep"]
        suite.check("the history names both, with phase sweep", sorted(r["path"] for r in rows) == sorted([bad, watched]), rows)
        rc, found, summary = scan(host, outside + "/tree/0", watched[:-4] + "/clean-4")
        suite.check("clean folders and a single file end with 0", rc == 0 and not found and summary["files"] == 30, (rc, found, summary))
        rc, found, summary = scan(host, bad)
        suite.check("a single infected file ends with 1", rc == 1 and list(found) == [bad], (rc, found, summary))
        rc, text = host.tool("scan", outside + "/tree")
        suite.check("for people: one line for a finding, one at the end", rc == 1 and bad in text and
                    re.search(r"\n202 files, .*: 1 infected, 0 unscanned; 201 were known already", text), text)
        rc, text = host.tool("scan", outside + "/nothing")
        suite.check("a path that is not there: 2", rc == 2 and "nothing" in text, (rc, text))
        rc, text = host.tool("scan", "/dev/null")
        suite.check("a device: 2", rc == 2 and "neither" in text, (rc, text))
        rc, text = host.tool("scan")
        suite.check("no path: 2", rc == 2, (rc, text))
        rc, text = host.tool("scan", "--resume")
        suite.check("nothing to resume: 2", rc == 2 and "no scan" in text, (rc, text))
        host.stop()
        rc, text = host.tool("scan", outside)
        suite.check("no daemon: 3", rc == 3, (rc, text))


suite.main()
