#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Real mail and the quarantine: what Postfix and Dovecot do when an infected message is moved away under them. Each
scenario runs first without the daemon (the infected message comes through), then with it.

invariants: no-byte-before-verdict, nothing-lost, mail-keeps-flowing
"""
import os
import sys
import time

from harness import MARKER, Failure, Host, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

SECONDS = 30
suite = Suite("mail_quarantine")


class Mail:
    def __init__(self, file_system="ext4"):
        self.host = host = Host(suite, file_system=file_system)
        self.store = os.path.join(host.watched, "vmail")
        os.mkdir(self.store)
        self.mail = mail_host.MailHost(base=os.path.join(host.base, "mail"), store=self.store,
                                       queue=os.path.join(host.base, "queue"))
        host.policy(host.watch(self.store, store="maildir"), host.watch(self.store + "/sdbox", store="sdbox"))
        suite.at_end(self.mail.stop)
        self.mail.start()
        suite.track(self.mail.dovecot.pid)
        suite.track(self.mail.master_pid())

    def __enter__(self):
        return self

    def __exit__(self, kind, *rest):
        if kind is not None:
            for line in self.mail.complaints()[-4:] + [l for l in self.mail.dovecot_lines() if "rror" in l][-4:]:
                suite.say(line)
        self.mail.stop()
        self.host.__exit__(kind, None, None)

    def send(self, message, *users, route="lmtp"):
        queue_id = self.mail.send("eve@example.test", ["%s@%s.test" % (user, route) for user in users], message)
        self.mail.wait_sent(queue_id, len(users), SECONDS)
        return queue_id

    def newest(self, user, before):
        new = sorted(set(self.mail.uids(user)) - before)
        if len(new) != 1:
            raise Failure("%s: %d new messages for one that was sent" % (user, len(new)))
        return new[0]

    def items(self):
        return self.host.tool_json("quarantine", "list")

    def flows(self, what, *users, route="lmtp", reader="{}"):
        for user in users:
            before = set(self.mail.uids(reader.format(user)))
            self.send(messages.clean("after " + what), user, route=route)
            body, words = self.mail.fetch(reader.format(user), self.newest(reader.format(user), before))
            suite.check("%s: the next clean message for %s arrives and is fetched" % (what, user),
                        body is not None and ("after " + what).encode() in body, words)
        left = self.mail.complaints()
        suite.check("%s: nothing bounced, deferred or fell over" % what, not left, left[-3:])


def later(mail, users, name, reader=None):
    """An infected message whose signature comes after its delivery; a client has it listed already. -> its queue id"""
    reader = reader or users[0]
    before = set(mail.mail.uids(reader))
    text = messages.clean("invoice", text="a word: %s\n" % MARKER.decode())
    queue_id = mail.send(text, *users)
    uid = mail.newest(reader, before)
    mail.send(messages.clean("the one behind it"), *users)
    behind = mail.newest(reader, before | {uid})
    body, _ = mail.mail.fetch(reader, uid)
    suite.check("control: %s: before its signature is known it is fetched" % name, body is not None and MARKER in body)
    return queue_id, uid, behind


def clean_then_bad(mail, name):
    mail.host.define({"Mailward.Test.Late": MARKER})
    loader = mail.host.pid("loader")
    os.kill(loader, 9)
    mail.host.wait("new definitions", lambda: mail.host.pids().get("loader") not in (None, loader) and
                   mail.host.tool("status")[0] in (0, 1), 30)


def missing():
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("real mail", "not installed: " + " ".join(absent))
    return bool(absent)


@suite.test("Maildir: an open session gets NIL for it, and the next message")
def _(suite):
    if missing():
        return
    with Mail() as mail:
        mail.host.define({"Mailward.Test.Other": b"nothing like it"})
        mail.host.start()
        queue_id, uid, behind = later(mail, ("anna",), "Maildir")
        session = mail.mail.imap("anna")
        session.uid("SEARCH", "ALL")
        clean_then_bad(mail, "Maildir")
        answer, data = session.uid("FETCH", str(uid), "(BODY.PEEK[])")
        got = [part for part in data if isinstance(part, tuple)]
        suite.say("dovecot: %s %s" % (answer, data))
        suite.check("not a byte of it", not any(MARKER in part[1] for part in got), data)
        suite.check("the session lives: NIL, no error that cuts it off", answer == "OK", (answer, data))
        answer, data = session.uid("FETCH", str(behind), "(BODY.PEEK[])")
        suite.check("the message behind it reads in the same session", answer == "OK" and
                    any(isinstance(part, tuple) and b"the one behind it" in part[1] for part in data), data)
        mail_host.close(session)
        held = eventually(lambda: (lambda held: held if held["items"] == 1 else None)(mail.host.status()["quarantine"]), 5)
        suite.check("status says what the quarantine holds", held and held["bytes"] > 0 and held["max_bytes"] == 10 << 30 and
                    held["max_age_s"] == 90 * 86400 and held["oldest"].endswith("Z"), mail.host.status()["quarantine"])
        lines = [line for line in mail.host.tool("status")[1].splitlines() if line.startswith("quarantine ")]
        suite.check("and so does its text", lines and "1 object, " in lines[0] and " of 10G; the oldest " in lines[0] and
                    lines[0].endswith(" of 90d"), lines)
        suite.check("a new session does not list it any more", uid not in mail.mail.uids("anna"))
        row = eventually(lambda: mail.items(), 10)[0]
        suite.check("the quarantine has it, with its queue id and message id", row["queue_id"] == queue_id and
                    row["message_id"], row)
        mail.flows("Maildir", "anna")
        rc, text = mail.host.tool("release", row["id"])
        suite.check("released", rc == 0, text)
        suite.check("then it holds nothing", eventually(lambda: mail.host.status()["quarantine"]["items"] == 0 and
                    mail.host.status()["quarantine"]["oldest"] == "", 5), mail.host.status()["quarantine"])
        uids = eventually(lambda: [u for u in mail.mail.uids("anna") if MARKER in (mail.mail.fetch("anna", u)[0] or b"")], 10)
        suite.check("and Dovecot has it again, whole", uids, mail.mail.uids("anna"))


@suite.test("Maildir: what is infected at delivery is gone before it is listed; nothing bounces")
def _(suite):
    if missing():
        return
    with Mail() as mail:
        for route, reader in (("lmtp", "{}"), ("virtual", "{}.v"), ("local", "{}.l")):
            before = set(mail.mail.uids(reader.format("anna")))
            mail.send(messages.infected("control"), "anna", route=route)
            uid = mail.newest(reader.format("anna"), before)
            body, _ = mail.mail.fetch(reader.format("anna"), uid)
            suite.check("control without the daemon: by %s it is fetched" % route, body and messages.is_infected(body))
        for path, _, names in os.walk(mail.store):
            if os.path.basename(path) in ("cur", "new"):
                for name in names:
                    os.unlink(os.path.join(path, name))
        mail.host.start()
        for count, (route, reader) in enumerate((("lmtp", "{}"), ("virtual", "{}.v"), ("local", "{}.l")), 1):
            queue_id = mail.send(messages.infected("fresh by " + route), "anna", route=route)
            rows = eventually(lambda: (lambda rows: rows if len(rows) == count else None)(mail.items()), 10)
            suite.check("%s: it is in the quarantine" % route, rows and rows[-1]["queue_id"] == queue_id, rows or mail.items())
            bodies = [mail.mail.fetch(reader.format("anna"), uid)[0] for uid in mail.mail.uids(reader.format("anna"))]
            suite.check("%s: not a byte is fetched" % route, not any(b and messages.is_infected(b) for b in bodies))
            mail.flows(route, "anna", route=route, reader=reader)
        odd = [r["path"] for r in mail.host.blocked() if r["path"].endswith(" (deleted)")]
        suite.check("the kernel's word for a name that is gone is in no path", not odd, odd)
        suite.check("the rows of blocked name it", [r for r in mail.host.blocked() if "quarantine" in (r.get("detail") or "")],
                    mail.host.blocked()[:2])
        before = len(mail.items())
        reply = mail.mail.append("carl", messages.infected("appended"))
        suite.check("IMAP APPEND: taken, and moved away", reply.startswith("OK") and
                    eventually(lambda: len(mail.items()) == before + 1, 10), reply)
        mail.flows("APPEND", "carl")


@suite.test("two recipients of one message: both links are gone")
def _(suite):
    if missing():
        return
    with Mail() as mail:
        mail.host.define({"Mailward.Test.Other": b"nothing like it"})
        mail.host.start()
        _, uid, behind = later(mail, ("anna", "ben"), "two recipients")
        links = [e.stat().st_nlink for user in ("anna", "ben") for part in ("cur", "new")
                 for e in os.scandir(os.path.join(mail.store, "lmtp", user, part))]
        suite.check("control: they share one inode", links.count(2) >= 2, links)
        theirs = {user: len(mail.mail.uids(user)) for user in ("anna", "ben")}
        clean_then_bad(mail, "two recipients")
        suite.check("anna gets nothing of it", mail.mail.fetch("anna", uid)[0] is None)
        row = eventually(lambda: [r for r in mail.items() if r["moved"] == r["links"] == 2], 10)
        suite.check("2 of 2 names are in the quarantine", row, mail.items())
        suite.check("ben's is gone too, without his ever opening it", eventually(
            lambda: len(mail.mail.uids("ben")) == theirs["ben"] - 1, 10), mail.mail.uids("ben"))
        mail.flows("two recipients", "anna", "ben")
        rc, text = mail.host.tool("release", row[0]["id"])
        suite.check("released: both have it again", rc == 0 and eventually(
            lambda: all(len([u for u in mail.mail.uids(user) if MARKER in (mail.mail.fetch(user, u)[0] or b"")]) == 1
                        for user in ("anna", "ben")), 10), text)


@suite.test("sdbox: moved away and denied; the mailbox goes on")
def _(suite):
    if missing():
        return
    with Mail() as mail:
        mail.host.define({"Mailward.Test.Other": b"nothing like it"})
        mail.host.start()
        _, uid, behind = later(mail, ("sue",), "sdbox")
        clean_then_bad(mail, "sdbox")
        body, words = mail.mail.fetch("sue", uid)
        suite.say("dovecot: %s" % words)
        suite.check("not a byte of it", body is None, words)
        rows = eventually(mail.items, 10)
        suite.check("it is in the quarantine", rows and "/dbox-Mails/u." in rows[0]["path"], rows)
        again = eventually(lambda: b"the one behind it" in (mail.mail.fetch("sue", behind)[0] or b""), 10)
        suite.check("the message behind it reads", again, mail.mail.fetch("sue", behind))
        suite.check("imap did not panic", not [l for l in mail.mail.dovecot_lines() if "Panic" in l],
                    [l for l in mail.mail.dovecot_lines() if "Panic" in l][:2])
        before = len(mail.items())
        mail.send(messages.clean("x", text="again %s\n" % MARKER.decode()), "sue")
        suite.check("a fresh one is moved away as well", eventually(lambda: len(mail.items()) == before + 1, 10), mail.items())
        mail.flows("sdbox", "sue")


suite.main(at_once=2)
