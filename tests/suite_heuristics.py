# SPDX-License-Identifier: GPL-2.0-only
"""What is suspicious without a signature, in the running daemon: each kind has its own action, a signature goes before, and
the kinds of attachment that the policy does not want; seen at the open, in `blocked`, `watch` and `explain`."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "levels"))
import mails
from harness import CLEAN, MARKER, SLACK, Host, Suite, eventually

suite = Suite("heuristics")

MACRO = mails.office("doc", macro=b"Sub AutoOpen()\r\nMsgBox 1\r\nEnd Sub\r\n")
PHISHING = (b"From: a@example.org\nTo: b@example.org\nSubject: your account\nMIME-Version: 1.0\nContent-Type: text/html\n\n"
            b"<html><body><a href=\"http://evil.example.net/login\">https://www.paypal.com/login</a></body></html>\n")
PROGRAM = mails.message(("invoice.pdf.exe", b"a text that is called a program\n" * 20))
TYPES = "attachments { deny-types = { executable, script, shortcut, disk-image, macro-document } }\n"


def rows_of(host, path):
    return eventually(lambda: host.blocked("--path", path), 3 + SLACK) or []


def explain(host, path):
    return host.tool_json("explain", path)[0]


@suite.test("each kind has its own action")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(on_macro="deny", on_phishing="report"))
        macro, phishing, bad = host.put("m.docm", MACRO), host.put("p.eml", PHISHING), host.put("bad", MARKER)
        host.start()
        suite.check("on-macro = deny: refused", host.read(macro) is None)
        suite.check("on-phishing = report: let go", host.read(phishing) == PHISHING)
        suite.check("control: a signature is refused", host.read(bad) is None)
        row, other, sign = rows_of(host, macro), rows_of(host, phishing), rows_of(host, bad)
        suite.check("the record tells the kind", row and (row[0]["answer"], row[0]["verdict"], row[0]["heuristics"]) ==
                    ("deny", "infected", ["macro"]) and "ContainsMacros" in row[0]["signature"], row)
        suite.check("by the line of its own word", row and row[0]["policy"].endswith(":2"), row)
        suite.check("report is would-deny", other and (other[0]["answer"], other[0]["heuristics"]) == ("would-deny", ["phishing"]), other)
        suite.check("a signature has no kind", sign and sign[0]["heuristics"] == [], sign)
        names = lambda reason: sorted(os.path.basename(r["path"]) for r in host.blocked("--reason", reason))
        suite.check("--reason heuristic shows these alone", names("heuristic") == ["m.docm", "p.eml"], names("heuristic"))
        suite.check("--reason infected shows signatures alone", names("infected") == ["bad"], names("infected"))
        text = host.tool("blocked")[1]
        suite.check("in the list the kind stands before the name", "macro:Heuristics.OLE2.ContainsMacros.VBA" in text and
                    "phishing:Heuristics.Phishing" in text and "infected:" in text, text)
        said = explain(host, macro)
        suite.check("explain says what the level found", said["answer"] == "deny" and said["heuristics"] == ["macro"] and
                    said["detail"].startswith("libclamav: Heuristics.OLE2.ContainsMacros.VBA"), said)
        host.policy(host.watch(on_heuristic="allow"))
        suite.check("a reload changes the answer, not the verdict", host.tool("reload")[0] == 0 and
                    host.read(macro) == MACRO and explain(host, macro)["verdict"] == "infected", explain(host, macro))
        suite.check("and the signature is refused as before", host.read(bad) is None)


@suite.test("kinds of attachment that are not wanted")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch())
        program, letter = host.put("mail", PROGRAM), host.put("letter", CLEAN)
        host.start()
        suite.check("control: without deny-types it is clean", host.read(program) == PROGRAM and
                    explain(host, program)["verdict"] == "clean")
        said = explain(host, program)
        suite.check("explain: of a clean one too, who was asked and who was not", said["levels"] == {
            "libclamav": "nothing found", "heuristics": "nothing found", "content": "not asked", "clamd": "not asked"}, said)
        host.policy(TYPES, host.watch())
        suite.check("with them what was clean before is refused", host.tool("reload")[0] == 0 and
                    eventually(lambda: host.read(program) is None, 20), explain(host, program))
        row = rows_of(host, program)
        suite.check("the record says which kind", row and row[-1]["heuristics"] == ["type"] and
                    row[-1]["signature"] == "Mailward.Type.DoubleExtension", row)
        said = explain(host, program)
        suite.check("explain shows each level", said["detail"] ==
                    "libclamav: clean; content: Mailward.Type.DoubleExtension, Executable (member invoice.pdf.exe)", said)
        suite.check("other files are opened as before", host.read(letter) == CLEAN)
        suite.check("the content rule was asked about them", explain(host, letter)["levels"]["content"] == "nothing found" and
                    said["levels"]["content"] == "found", (explain(host, letter), said))
        host.policy(TYPES, host.watch(on_type="report"))
        suite.check("on-type = report lets it go, and tells", host.tool("reload")[0] == 0 and host.read(program) == PROGRAM and
                    any(r["answer"] == "would-deny" for r in rows_of(host, program)), rows_of(host, program))
        host.policy(host.watch())
        suite.check("without deny-types it is clean again", host.tool("reload")[0] == 0 and
                    eventually(lambda: explain(host, program)["verdict"] != "infected" and host.read(program) == PROGRAM, 20),
                    explain(host, program))


suite.main()
