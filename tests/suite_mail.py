#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Real mail: Postfix takes a message by SMTP, Dovecot or Postfix delivers it into a watched Maildir, an IMAP client
fetches it. A delivery by script does not count here. Each scenario runs first without the daemon (the infected message
must come through), then with it.

invariants: no-byte-before-verdict (an infected message is never fetched), nothing-lost, mail-keeps-flowing
"""

import os
import sys
import threading
import time

from harness import Failure, Host, Suite, eventually

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "mail"))
import mail_host  # noqa: E402
import messages  # noqa: E402

# Postfix's transport -> the IMAP user who reads what it delivers to NAME
ROUTES = {"lmtp": "{}", "virtual": "{}.v", "local": "{}.l"}
SECONDS = 30

suite = Suite("mail")


class Mail:
    """A Host with a mail host whose stores lie in the watched tree."""

    def __init__(self, file_system="tmpfs", queue="own"):
        self.host = Host(suite, file_system=file_system)
        self.store = os.path.join(self.host.watched, "vmail")
        os.mkdir(self.store)
        queue_at = self.host.base if queue == "own" else self.host.outside
        self.mail = mail_host.MailHost(base=os.path.join(self.host.base, "mail"), store=self.store,
                                       queue=os.path.join(queue_at, "queue"))
        self.host.policy(self.host.watch(self.store, store="maildir", on_infected="deny"))
        suite.at_end(self.mail.stop)
        self.mail.start()
        suite.track(self.mail.dovecot.pid)
        suite.track(self.mail.master_pid())
        self.guarded = False
        self.counted = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for line in self.mail.complaints()[-4:] + [one for one in self.mail.dovecot_lines() if "rror" in one][-4:]:
                suite.say(line)
        self.mail.stop()
        self.host.__exit__(kind, None, None)

    def guard(self):
        self.host.start()
        self.guarded = True

    def name(self, what):
        return f"{what}, {'guarded' if self.guarded else 'control without the daemon'}"

    def deliver(self, route, message, users=("anna",)):
        """By SMTP until Postfix says status=sent for each. Returns (queue id, uid at the first user)."""
        before = self.uids(route, users[0])
        queue_id = self.mail.send("eve@example.test", [f"{user}@{route}.test" for user in users], message)
        for line in self.mail.wait_sent(queue_id, len(users), SECONDS):
            suite.say("postfix: " + line.split(": ", 1)[1])
        new = sorted(set(self.uids(route, users[0])) - before)
        if len(new) != 1:
            raise Failure(f"{route}: {len(new)} new messages for one that was sent")
        return queue_id, new[0]

    def reader(self, route, user="anna"):
        return ROUTES[route].format(user)

    def uids(self, route, user="anna"):
        return set(self.mail.uids(self.reader(route, user)))

    def fetch(self, route, uid, user="anna"):
        body, reply = self.mail.fetch(self.reader(route, user), uid)
        suite.say(f"dovecot: {self.reader(route, user)} UID FETCH {uid}: {len(body) if body else 0} bytes, {reply}")
        return body

    def newly_blocked(self):
        """Rows of denials, since the last call, of messages in this store. Equal ones (same inode, program and uid)
        are one row, whose count grows, so both new rows and larger counts are news."""
        news = []
        for row in self.host.blocked("--path", self.store):
            key = (row["time"], row["path"])
            if row["answer"] == "deny" and row["count"] > self.counted.get(key, 0):
                news.append((key, row))
        self.counted.update((key, row["count"]) for key, row in news)
        return [row for _, row in news]

    def still_flows(self, after):
        """Every agent is up: the next clean message of each route arrives, and a new session fetches it."""
        for route in ROUTES:
            subject = f"next after {after} {route}"
            _, uid = self.deliver(route, messages.clean(subject))
            body = self.fetch(route, uid)
            suite.check(self.name(f"{after}: the next clean message by {route} arrives, a new session fetches it"),
                        body is not None and subject.encode() in body)
        left = self.mail.complaints()
        suite.check(self.name(f"{after}: no part of Postfix fell over, nothing bounced or deferred"),
                    not left, left[-3:])
        suite.check(self.name(f"{after}: the queue is empty"),
                    eventually(lambda: not self.mail.queued(), 10), self.mail.queued())


def folder_of(mail, route, user="anna"):
    return os.path.join(mail.store, {"lmtp": f"lmtp/{user}", "virtual": f"virtual/{user}",
                                     "local": f"home/{user}/Maildir"}[route])


def check_clean(mail, route):
    """Clean mail and a clean attachment come through whole."""
    for what, message in (("clean message", messages.clean(f"clean by {route}")),
                          ("clean attachment", messages.clean_attachment(f"attachment by {route}"))):
        _, uid = mail.deliver(route, message)
        body = mail.fetch(route, uid)
        text = message.as_bytes().replace(b"\r\n", b"\n").rstrip()
        suite.check(mail.name(f"a {what} by {route} is fetched whole"),
                    body is not None and text.split(b"\n\n", 1)[1] in body.replace(b"\r\n", b"\n"))


def check_refused(mail, what, folder, body, queue_id=None):
    """The fetch of an infected message got nothing, and `blocked` says who was refused what."""
    suite.check(mail.name(f"{what}: not a byte of it is fetched"), body is None)
    rows = eventually(mail.newly_blocked, 5) or []
    suite.check(mail.name(f"{what}: `mailward blocked` shows the access"), rows)
    for row in rows:
        suite.say("blocked: " + " ".join(f"{key}={row.get(key)}" for key in (
            "access", "answer", "verdict", "signature", "exe", "user", "uid", "wait_ms", "count", "queue_id", "path")))
    if not rows:
        return
    imap = [row for row in rows if (row.get("exe") or "").endswith("/dovecot/imap")]
    suite.check(mail.name(f"{what}: by Dovecot's imap"), imap, rows)
    row = (imap or rows)[0]
    suite.check(mail.name(f"{what}: with its signature"), messages.SIGNATURE in (row.get("signature") or ""), row)
    suite.check(mail.name(f"{what}: and the file's path"), row["path"].startswith(folder + "/"), row)
    if queue_id is not None:
        suite.check(mail.name(f"{what}: and Postfix's queue id"), row.get("queue_id") == queue_id, row)


def check_infected(mail, route):
    what = f"an infected attachment by {route}"
    queue_id, uid = mail.deliver(route, messages.infected(f"invoice by {route}"))
    body = mail.fetch(route, uid)
    if not mail.guarded:
        suite.check(mail.name(f"{what} is fetched with its bytes"), body is not None and messages.is_infected(body))
        return
    check_refused(mail, what, folder_of(mail, route), body, queue_id)


def check_append(mail):
    before = set(mail.mail.uids("carl"))
    reply = mail.mail.append("carl", messages.infected("appended"))
    suite.say(f"dovecot: APPEND: {reply}")
    suite.check(mail.name("IMAP APPEND of an infected message is taken"), reply.startswith("OK"), reply)
    new = sorted(set(mail.mail.uids("carl")) - before)
    body, words = mail.mail.fetch("carl", new[-1])
    suite.say(f"dovecot: carl UID FETCH {new[-1]}: {len(body) if body else 0} bytes, {words}")
    if not mail.guarded:
        suite.check(mail.name("an appended infected message is fetched with its bytes"),
                    body is not None and messages.is_infected(body))
        return
    check_refused(mail, "IMAP APPEND of an infected message", folder_of(mail, "lmtp", "carl"), body)


def check_two_recipients(mail):
    """Dovecot LMTP makes one file of two names for two recipients of one transaction."""
    for what, message in (("clean", messages.clean("for two")), ("infected", messages.infected("for two"))):
        before = {user: mail.uids("lmtp", user) for user in ("anna", "ben")}
        queue_id, _ = mail.deliver("lmtp", message, ("anna", "ben"))
        links = [entry.stat().st_nlink for folder in ("new", "cur")
                 for entry in os.scandir(os.path.join(folder_of(mail, "lmtp", "ben"), folder))]
        suite.check(mail.name(f"two recipients of one {what} message share one inode"), 2 in links, links)
        for user in ("anna", "ben"):
            uid = sorted(mail.uids("lmtp", user) - before[user])[-1]
            body = mail.fetch("lmtp", uid, user)
            name = f"two recipients, one inode, {what}: {user}"
            if what == "clean":
                suite.check(mail.name(f"{name} fetches it"), body is not None)
            elif not mail.guarded:
                suite.check(mail.name(f"{name} fetches its bytes"), body is not None and messages.is_infected(body))
            else:
                # Dovecot's lmtp reads the first one's file for the second recipient, and is refused too, without harm.
                # One inode, one reader's uid: ben's denial counts in the row of anna's, under her name for it.
                check_refused(mail, name, os.path.join(mail.store, "lmtp"), body, queue_id)


def check_first_ever(mail):
    """Dovecot's lmtp reads the first message of a new mailbox back for its index, and is refused: it goes on."""
    before = len(mail.mail.complaints())
    queue_id = mail.mail.send("eve@example.test", ["dora@lmtp.test"], messages.infected("first ever"))
    suite.say("postfix: " + mail.mail.wait_sent(queue_id, 1, SECONDS)[0].split(": ", 1)[1])
    errors = [line for line in mail.mail.dovecot_lines() if "lmtp(dora" in line and "Error" in line]
    suite.say(f"dovecot: {len(errors)} errors in its log")
    for line in errors[:1]:
        suite.say(line)
    body = mail.fetch("lmtp", 1, "dora")
    suite.check(mail.name("a new mailbox's first message is infected: delivered, not a byte of it fetched"),
                body is None)
    _, uid = mail.deliver("lmtp", messages.clean("second"), ("dora",))
    suite.check(mail.name("a new mailbox's first message is infected: the second is fetched"),
                mail.fetch("lmtp", uid, "dora") is not None)
    suite.check(mail.name("a new mailbox's first message is infected: nothing was deferred"),
                len(mail.mail.complaints()) == before)


def check_syncing_client(mail):
    """A client that fetches everything in one session is cut off at the denied message: README says so."""
    uids = sorted(mail.uids("virtual"))
    session = mail.mail.imap("anna.v")
    words = "not cut off"
    try:
        session.uid("FETCH", "1:*", "(BODY.PEEK[])")
    except (mail_host.imaplib.IMAP4.abort, mail_host.imaplib.IMAP4.error, OSError) as error:
        words = str(error)
    bodies = [part[1] for part in session.untagged_responses.get("FETCH", []) if isinstance(part, tuple)]
    mail_host.close(session)
    suite.say(f"a client that syncs {len(uids)} messages in one session, one of them denied: got {len(bodies)}")
    suite.say(f"dovecot: {words}")
    suite.check(mail.name("a syncing client does not get the denied message"),
                words != "not cut off" and not any(messages.is_infected(body) for body in bodies))


def run_all(mail):
    for route in ROUTES:
        check_clean(mail, route)
        check_infected(mail, route)
        mail.still_flows(f"an infected message by {route}")
    check_append(mail)
    mail.still_flows("APPEND")
    check_two_recipients(mail)
    mail.still_flows("two recipients")


def both(file_system, queue):
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("real mail", "not installed: " + " ".join(absent))
        return
    with Mail(file_system, queue) as mail:
        for route in ROUTES:
            check_infected(mail, route)
        check_append(mail)
        check_two_recipients(mail)
        for folder in ("lmtp/anna", "lmtp/ben", "lmtp/carl", "virtual/anna", "home/anna/Maildir"):
            for part in ("new", "cur"):
                for entry in os.scandir(os.path.join(mail.store, folder, part)):
                    os.unlink(entry.path)
        mail.guard()
        run_all(mail)
        check_first_ever(mail)
        check_syncing_client(mail)


@suite.test("mail into a watched Maildir on tmpfs, the queue on a file system that is not marked")
def _(_suite):
    both("tmpfs", "own")


@suite.test("mail into a watched Maildir on ext4, the queue outside the watch on the same, marked file system")
def _(_suite):
    both("ext4", "same")


@suite.test("an infected message in an mbox and in Postfix's queue is recorded, and never stops the mail")
def _(_suite):
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("real mail", "not installed: " + " ".join(absent))
        return
    with Mail(queue="same") as mail:
        host = mail.host
        host.policy(host.watch(mail.store, store="maildir", on_infected="deny"), host.watch(f"{mail.store}/mbox", store="mbox"),
                    host.watch(mail.mail.queue, store="postfix-queue", on_infected="report"))
        mail.guard()
        for number in (1, 2):
            _, uid = mail.deliver("lmtp", messages.infected(f"into mbox {number}"), ("mia",))
            body = mail.fetch("lmtp", uid, "mia")
            suite.check(f"infected message {number} in an mbox is fetched: a refusal would shut the whole mailbox",
                        body is not None and messages.is_infected(body))
            _, uid = mail.deliver("lmtp", messages.clean(f"after {number}"), ("mia",))
            suite.check(f"the clean message after infected message {number} in the same mbox is fetched",
                        mail.fetch("lmtp", uid, "mia") is not None)
        for route in ROUTES:
            _, uid = mail.deliver(route, messages.infected(f"through a watched queue by {route}"))
            suite.check(f"an infected message through the watched queue by {route} is refused in its Maildir",
                        mail.fetch(route, uid) is None)
        rows = eventually(lambda: [row for row in host.blocked() if row["answer"] == "would-deny" and
                                   row["path"].startswith(f"{mail.store}/mbox/")], 5)
        suite.check("`mailward blocked` shows the mbox as would-deny", rows, host.blocked())
        rows = eventually(lambda: [row for row in host.blocked() if row["path"].startswith(mail.mail.queue)], 5) or []
        for row in rows[:6]:
            suite.say("blocked: " + " ".join(f"{key}={row.get(key)}" for key in ("answer", "signature", "exe", "path")))
        suite.check("nobody was denied a file of the queue", all(row["answer"] == "would-deny" for row in rows), rows)
        suite.check("the infected queue files are in `mailward blocked`", rows)
        mail.still_flows("mbox and queue")


def subjects_in(folder):
    """Subject lines of the messages stored below a folder, read with no daemon running."""
    found = []
    for path, _, names in os.walk(folder):
        if os.path.basename(path) in ("new", "cur"):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    found += [line.split(b":", 1)[1].strip().decode() for line in file if line.startswith(b"Subject:")]
    return found


@suite.test("the gate is killed while mail is delivered: nothing is lost")
def _(_suite):
    absent = mail_host.missing_packages()
    if absent:
        suite.skip("real mail", "not installed: " + " ".join(absent))
        return
    with Mail() as mail:
        mail.guard()
        sent, errors = {}, []

        def send_many():
            for number in range(90):
                route = list(ROUTES)[number % 3]
                try:
                    sent[number] = mail.mail.send("eve@example.test", [f"anna@{route}.test"],
                                                  messages.clean(f"number {number}."))
                except (OSError, RuntimeError, mail_host.smtplib.SMTPException) as error:
                    errors.append(f"{number}: {error}")
                time.sleep(0.02)

        sender = threading.Thread(target=send_many)
        sender.start()
        kills = 0
        while sender.is_alive() and kills < 6:
            gate = eventually(lambda: mail.host.pids().get("gate"), 10)
            if not gate:
                break
            os.kill(gate, 9)
            kills += 1
            eventually(lambda: mail.host.pids().get("gate", gate) != gate, 10)
            time.sleep(0.3)
        sender.join()
        suite.say(f"the gate was killed {kills} times; Postfix took {len(sent)} messages and refused {len(errors)}")
        suite.check("the gate was killed during the deliveries at least three times", kills >= 3, kills)
        suite.check("Postfix took every message", not errors, errors[:3])

        def all_sent():
            log = mail.mail.log()
            return all(f" {queue_id}: " in log and any("status=sent" in line for line in log.splitlines()
                                                       if f" {queue_id}: " in line) for queue_id in sent.values())
        done = eventually(all_sent, 90, 0.5)
        deferred = sum("status=deferred" in line for line in mail.mail.log().splitlines())
        bounced = [line for line in mail.mail.log().splitlines() if "status=bounced" in line]
        suite.say(f"deferred for a moment: {deferred}")
        suite.check("status=sent for each of them in the end", done, mail.mail.queued()[:5])
        suite.check("none bounced", not bounced, bounced[:3])
        uid = sorted(mail.uids("lmtp"))[-1]
        body = eventually(lambda: mail.mail.fetch("anna", uid)[0], 15, 0.5)
        suite.check("and the last one is fetched over IMAP, protection being back", body is not None)
        _, uid = mail.deliver("virtual", messages.infected("after the kills"))
        suite.check("an infected one is refused", mail.fetch("virtual", uid) is None)
        mail.host.stop()
        stored = subjects_in(mail.store)
        lost = [number for number in sent if f"number {number}." not in stored]
        suite.check("each is in its Maildir", not lost, lost)


suite.main(at_once=2)
