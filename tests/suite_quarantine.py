#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The quarantine: what is moved away, what stays behind, and what comes back.

invariants: nothing-lost, mail-keeps-flowing
"""
from harness import Host, Suite

suite = Suite("quarantine")


@suite.test("an empty quarantine")
def _(suite):
    with Host(suite) as host:
        host.start()
        rc, text = host.tool("quarantine", "list", "--no-header")
        suite.check("mailward quarantine list prints nothing", rc == 0 and text == "", (rc, text))
        rc, text = host.tool("quarantine", "show", "nothing")
        suite.check("what is not there is not shown", rc == 2 and "nothing" in text, (rc, text))
        suite.check("status shows the steward", "steward" in host.pids(), host.pids())


suite.main()
