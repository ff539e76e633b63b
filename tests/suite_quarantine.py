#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The quarantine: what is moved away, what stays behind, and what comes back exactly as it was.

invariants: nothing-lost, mail-keeps-flowing
"""
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import time

from harness import EICAR, MARKER, CLEAN, SLACK, Failure, Host, Suite, eventually, helper
from quarantine import FOLDER, age, announced, beside, facts, gone, item, items, maildir, own_mount, policy

suite = Suite("quarantine")


def deliver(folder, name, content, where="cur"):
    """As an agent does: written in tmp/, closed, renamed."""
    temporary = os.path.join(folder, "tmp", name)
    with open(temporary, "wb") as f:
        f.write(content)
    path = os.path.join(folder, where, name)
    os.rename(temporary, path)
    return path


@suite.test("an empty quarantine")
def _(suite):
    with Host(suite) as host:
        host.start()
        rc, text = host.tool("quarantine", "list", "--no-header")
        suite.check("mailward quarantine list prints nothing", rc == 0 and text == "", (rc, text))
        rc, text = host.tool("quarantine", "show", "nothing")
        suite.check("what is not there is not shown", rc == 2 and "nothing" in text, (rc, text))
        suite.check("status shows the steward", "steward" in host.pids(), host.pids())
        suite.check("no folder where nothing is ever moved away", not os.path.exists(host.fs + "/" + FOLDER))


@suite.test("moved away, then denied")
def _(suite):
    def run(file_system):
        with Host(suite, file_system=file_system) as host:
            policy(host)
            folder = maildir(host)
            path = os.path.join(folder, "cur", "1.M1P1.host:2,S")
            with open(path, "wb") as f:
                f.write(b"Subject: x\n\n" + EICAR)
            clean = host.put("anna/Maildir/cur/2.M2P2.host:2,S", CLEAN)
            suite.check("control: without the guard it is read", EICAR in open(path, "rb").read())
            host.start()
            result = host.probe("open", path)
            suite.check("%s: the open that waited is denied" % file_system, result.rc == 1, result)
            suite.check("%s: the message is gone from its folder" % file_system, gone(path))
            suite.check("%s: a clean one beside it reads" % file_system, host.read(clean) == CLEAN)
            row = item(host)
            suite.check("%s: the list says what, where, how many names" % file_system,
                        row["path"] == path and row["signature"] == "Mailward.Test.Eicar.UNOFFICIAL" and
                        row["links"] == row["moved"] == 1 and row["verdict"] == "infected" and
                        row["watch"] == host.watched and row["policy"].startswith(host.config), row)
            blocked = host.wait("a record", lambda: [r for r in host.blocked() if r["path"] == path])
            suite.check("%s: blocked shows the name that it had, and the id" % file_system,
                        row["id"] in blocked[0].get("detail", "") and blocked[0]["answer"] == "deny", blocked)
            shown = eventually(lambda: [i for i in host.tool_json("quarantine", "show", row["id"]) if i["sha256"]], 10)
            import hashlib
            suite.check("%s: show has its SHA-256 and its names" % file_system,
                        shown and shown[0]["sha256"] == hashlib.sha256(b"Subject: x\n\n" + EICAR).hexdigest() and
                        [n["path"] for n in shown[0]["names"]] == [path], shown)
            suite.check("%s: status has no issue of it" % file_system,
                        not [i for i in host.status()["issues"] if i["id"].startswith("quarantine")], host.status()["issues"])
    beside(lambda: run("tmpfs"), lambda: run("ext4"))


@suite.test("fresh mail is moved away before anybody opens it, and not while it is being delivered")
def _(suite):
    with Host(suite) as host:
        policy(host)
        folder = maildir(host)
        host.start()
        temporary = os.path.join(folder, "tmp", "1.M1P1.host")
        with open(temporary, "wb") as f:
            f.write(EICAR)
        host.wait("it is judged", lambda: host.counter("scans") >= 1)
        time.sleep(2.5)  # fresh mail elsewhere is taken a second after its latest link
        suite.check("in tmp/ it stays: the agent will rename it", os.path.exists(temporary))
        os.rename(temporary, os.path.join(folder, "new", "1.M1P1.host"))
        suite.check("in new/ it is moved away by itself", eventually(lambda: not os.listdir(folder + "/new"), 10))
        row = item(host)
        suite.check("the list has its name in new/", row["path"] == os.path.join(folder, "new", "1.M1P1.host"), row)
        # As Postfix' virtual(8) does: link, unlink.
        temporary = os.path.join(folder, "tmp", "2.M2P2.host")
        with open(temporary, "wb") as f:
            f.write(MARKER)
        os.link(temporary, os.path.join(folder, "new", "2.M2P2.host"))
        os.unlink(temporary)
        suite.check("linked to new/ and unlinked in tmp/: moved away", eventually(lambda: not os.listdir(folder + "/new"), 10))
        rows = item(host, 2)
        suite.check("1 of 1 names each", eventually(lambda: all(r["links"] == r["moved"] == 1 for r in items(host)), 5), rows)


@suite.test("renamed while it is judged, and news of its close come late: it is moved away all the same")
def _(suite):
    def hold_gate(host):
        """Before it silences the bell for files that were closed: it has read the news by then, and looks for more files.
        It must not be asked for anything meanwhile."""
        empty = open(host.watched + "/empty", "wb")
        tracer = suite.popen([helper("hold_at"), str(host.pid("gate")), "[eventfd]"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if tracer.stdout.readline() != b"ready\n":
            raise Failure("the gate cannot be traced")
        empty.close()
        if tracer.stdout.readline() != b"held\n":
            raise Failure("the gate cannot be held")
        return tracer

    def attempt(number, late):
        """-> was it there for as long as its judgement took, and moved away then? None: the gate was held too long."""
        name = "%d.M1P1.host" % number
        temporary, path = os.path.join(folder, "tmp", name), os.path.join(folder, "new", name)
        scans, gate = host.counter("scans"), host.pid("gate")
        host.behave("hold-late")
        f = open(temporary, "wb")
        f.write(EICAR + b"%d" % number)
        tracer = hold_gate(host) if late else None
        f.close()
        if tracer:
            time.sleep(0.1)  # the gate's other thread takes it up
            tracer.stdin.close()
            tracer.wait(10)
        host.wait("it is being judged", lambda: host.counter("cases") >= 1)
        time.sleep(0.3)
        os.rename(temporary, path)
        there = os.path.exists(path) and host.counter("scans") == scans
        host.behave()
        gone_then = eventually(lambda: not os.path.exists(path), 10)
        return (there and gone_then) if host.pid("gate") == gate else None

    with Host(suite, "ext4") as host:
        policy(host)
        folder = maildir(host)
        host.stand_in()
        host.start()
        suite.check("control: no news are late", attempt(1, False))
        done = [attempt(number, True) for number in (2, 3, 4)]
        suite.check("three times: late news", any(done) and False not in done, done)


def names_of(folder, kind):
    return [name for name in os.listdir(folder + "/new") if name.endswith(kind)]


@suite.test("more is found at once than the steward can take: the rest waits, and is moved away, though nobody opens it")
def _(suite):
    def deliver_all(letter):
        for i in range(450):
            deliver(folder, "%d.M%sP%d.%s" % (i, letter, i, "bad" if i % 3 else "clean"),
                    b"%s %s %d" % (MARKER if i % 3 else CLEAN, letter.encode(), i), "new")

    for file_system in ("tmpfs", "ext4"):
        with Host(suite, file_system) as host:
            policy(host)
            folder = maildir(host)
            deliver_all("a")
            suite.check("control on %s: without the daemon all stay" % file_system, len(names_of(folder, "")) == 450)
            shutil.rmtree(folder + "/new")
            os.mkdir(folder + "/new")
            host.start()
            steward = host.pid("steward")
            os.kill(steward, signal.SIGSTOP)
            deliver_all("b")
            time.sleep(2)  # it takes no longer to judge them
            lie = len(names_of(folder, "bad"))
            suite.check("the steward stands: 300 infected ones lie there", lie == 300, lie)
            suite.check("who opens a clean one waits for nothing", host.read(folder + "/new/0.MbP0.clean") is not None)
            os.kill(steward, signal.SIGCONT)
            eventually(lambda: not names_of(folder, "bad"), 30)
            suite.check("on %s all 300 are moved away" % file_system, not names_of(folder, "bad"),
                        (len(names_of(folder, "bad")), host.counter("not_fetched_ahead"), host.log()[-300:]))
            suite.check("and are in the quarantine", eventually(lambda: len(items(host)) == 300, 15, 0.5), len(items(host)))
            suite.check("on %s the 150 clean ones stay" % file_system, len(names_of(folder, "clean")) == 150)
            suite.check("and nobody was denied", host.counter("denied") == 0, host.counter("denied"))


@suite.test("observe, deny and report move nothing; an unscanned message is moved where the policy says so")
def _(suite):
    def stays(**words):
        with Host(suite) as host:
            policy(host, **words)
            path = os.path.join(maildir(host), "cur", "1:2,S")
            with open(path, "wb") as f:
                f.write(EICAR)
            host.start()
            host.read(path)
            time.sleep(0.5)
            suite.check("%s: it stays" % words, os.path.exists(path) and items(host) == [])

    def large():
        with Host(suite) as host:
            host.policy(host.watch(store="maildir"), scanner={"max_file_size": "10k"})
            folder = maildir(host)
            path = os.path.join(folder, "cur", "1:2,S")
            with open(path, "wb") as f:
                f.write(CLEAN * 500)
            host.start()
            suite.check("too large: denied and moved", host.read(path) is None and gone(path))
            row = item(host)
            suite.check("the list says why", row["verdict"] == "unscanned" and row["reason"] == "too-large", row)

    def without_definitions():
        with Host(suite, definitions=False) as host:
            policy(host, on_error="quarantine")
            path = os.path.join(maildir(host), "cur", "1:2,S")
            with open(path, "wb") as f:
                f.write(CLEAN)
            host.start()
            suite.check("without definitions a mailbox is denied, but never emptied", host.read(path) is None and
                        os.path.exists(path) and items(host) == [])
    beside(lambda: stays(mode="observe"), lambda: stays(on_infected="deny"), lambda: stays(on_infected="report"), large,
           without_definitions)


@suite.test("new definitions: what lies there and is infected after all is moved without being opened")
def _(suite):
    with Host(suite) as host:
        host.define({"Mailward.Test.Other": b"nothing like it"})
        policy(host, recheck="background")
        folder = maildir(host)
        host.start()
        path = deliver(folder, "1.M1", MARKER + CLEAN)
        suite.check("control: it reads", host.read(path) == MARKER + CLEAN)
        host.define({"Mailward.Test.Late": MARKER})
        suite.check("it is moved away by itself", eventually(lambda: gone(path), 30), host.log()[-400:])
        row = item(host)
        suite.check("and the list says by which signature", row["signature"].startswith("Mailward.Test.Late"), row)


@suite.test("two names: both are gone, and the record says so")
def _(suite):
    def run(file_system):
        with Host(suite, file_system=file_system) as host:
            policy(host)
            first, second = maildir(host, "anna"), maildir(host, "berta")
            one, two = os.path.join(first, "cur", "1:2,"), os.path.join(second, "cur", "2:2,S")
            with open(one, "wb") as f:
                f.write(EICAR)
            os.link(one, two)
            before = facts(one)
            host.start()
            suite.check("%s: denied" % file_system, host.read(one) is None)
            suite.check("%s: its other name is found and moved too" % file_system, eventually(lambda: gone(one, two), 10))
            row = host.wait("2 of 2", lambda: [r for r in items(host) if r["moved"] == r["links"] == 2])[0]
            shown = host.tool_json("quarantine", "show", row["id"])[0]
            suite.check("%s: show names both" % file_system, {n["path"] for n in shown["names"]} == {one, two}, shown)
            rc, text = host.tool("quarantine", "restore", row["id"])
            suite.check("%s: restored" % file_system, rc == 0, text)
            suite.check("%s: both names are one inode again, and nothing else has changed" % file_system,
                        facts(one) == before and os.stat(two).st_ino == before["ino"], (before, facts(one)))
            suite.check("%s: the quarantine is empty" % file_system, items(host) == [])
            suite.check("%s: opens of it are denied as before" % file_system,
                        host.read(one) is None)
            suite.check("%s: and it stays" % file_system, not gone(one) and not gone(two) and items(host) == [],
                        os.listdir(first + "/cur"))
            suite.check("%s: by its other name, too" % file_system, not gone(two) and host.read(two) is None)
            host.stop()
            host.start()
            suite.check("%s: a new daemon leaves it, too" % file_system, host.read(one) is None and not gone(one))
            host.stop()
            with open(one, "ab") as f:
                f.write(b"changed")
            host.start()
            suite.check("%s: once its content has changed it is moved again" % file_system,
                        host.read(two) is None and eventually(lambda: gone(one, two), 10), os.listdir(first + "/cur"))
    beside(lambda: run("tmpfs"), lambda: run("ext4"))


@suite.test("owner, mode, ACL, attributes and times come back")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        policy(host)
        folder = maildir(host)
        path = os.path.join(folder, "cur", "1.M1P1.host:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        os.chown(path, 4711, 4712)
        os.chmod(path, 0o2640)
        os.setxattr(path, "user.note", b"\x00\xff hostile \n")
        os.setxattr(path, "trusted.mailward.test", b"1")
        acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400" "e8030000" "04000400ffffffff" "10000400ffffffff"
                            "20000000ffffffff")
        os.setxattr(path, "system.posix_acl_access", acl)
        os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
        before = facts(path)
        suite.check("control: it has an ACL and attributes", "system.posix_acl_access" in before["xattrs"] and
                    len(before["xattrs"]) == 3, before)
        host.start()
        suite.check("denied and moved", host.read(path) is None and gone(path))
        row = item(host)
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("restored", rc == 0, text)
        suite.check("exactly as it was", facts(path) == before, (before, facts(path)))
        host.stop()
        suite.check("and its content", open(path, "rb").read() == EICAR)


@suite.test("never over another file")
def _(suite):
    with Host(suite) as host:
        policy(host)
        one, two = (os.path.join(maildir(host, user), "cur", "1:2,S") for user in ("anna", "berta"))
        with open(one, "wb") as f:
            f.write(EICAR)
        os.link(one, two)
        host.start()
        host.read(one)
        row = host.wait("2 of 2", lambda: [r for r in items(host) if r["moved"] == 2])[0]
        host.put("berta/Maildir/cur/1:2,S", CLEAN)
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("what is in the way is named", rc == 2 and two in text, (rc, text))
        suite.check("nothing was given back, nothing overwritten",
                    gone(one) and open(two, "rb").read() == CLEAN and item(host)["moved"] == 2)
        os.unlink(two)
        os.rename(os.path.dirname(two), os.path.dirname(two) + ".old")
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("a folder that is gone is named", rc == 2 and two in text and gone(one), (rc, text))
        os.symlink(host.outside, os.path.dirname(two))
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("a link in its place is not followed", rc == 2 and gone(one) and not os.listdir(host.outside), (rc, text))
        os.unlink(os.path.dirname(two))
        os.rename(os.path.dirname(two) + ".old", os.path.dirname(two))
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("then it comes back", rc == 0 and os.stat(one).st_ino == os.stat(two).st_ino, (rc, text))


@suite.test("names of hostile bytes")
def _(suite):
    with Host(suite) as host:
        policy(host)
        folder = os.fsencode(maildir(host))
        names = [b"1:2,\xff\xfe\n\x1b[31m", b"2\"},{\"id\":\"x", b"3 -rf $(id)", b"4" + b"\xe2\x80\xae" + b"gpj.exe",
                 b"5" + b"x" * 250, b"\\x41"]
        paths = [folder + b"/cur/" + name for name in names]
        for path in paths:
            with open(path, "wb") as f:
                f.write(EICAR)
        host.start()
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY))
                suite.check("denied", False, path)
            except PermissionError:
                pass
        rows = item(host, len(names))
        suite.check("each has its bytes in path_hex", {bytes.fromhex(r["path_hex"]) for r in rows} == set(paths))
        rc, text = host.tool("quarantine", "list")
        suite.check("the list has one line each and no control character", len(text.splitlines()) == 1 + len(names) and
                    not any(ord(c) < 32 for c in text.replace("\n", "")), text)
        for row in rows:
            rc, text = host.tool("quarantine", "restore", row["id"])
            suite.check("restored: %r" % bytes.fromhex(row["path_hex"])[-20:], rc == 0, text)
        suite.check("all are back", all(os.path.exists(p) for p in paths) and items(host) == [])


@suite.test("delete is for good, and says what it takes")
def _(suite):
    with Host(suite) as host:
        policy(host)
        path = os.path.join(maildir(host), "cur", "1:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        host.start()
        host.read(path)
        row = item(host)
        rc, text = host.tool("quarantine", "delete", row["id"])
        suite.check("not without --yes", rc == 2 and "--yes" in text and len(items(host)) == 1, (rc, text))
        rc, text = host.tool("quarantine", "delete", row["id"][:-1], "--yes")
        suite.check("not by a part of the id", rc == 2 and len(items(host)) == 1, (rc, text))
        rc, text = host.tool("quarantine", "delete", row["id"], "--yes")
        suite.check("deleted", rc == 0 and items(host) == [] and gone(path), (rc, text))
        left = [n for n in os.listdir(host.fs + "/" + FOLDER) if not n.startswith(".")]
        suite.check("nothing is left on the disk", left == [], left)
        for words in (("nonsense",), ("show",), ("restore", "../../etc"), ("delete", "--yes")):
            suite.check("quarantine %s is a usage error" % " ".join(words), host.tool("quarantine", *words)[0] == 2)


@suite.test("released: it is back, and its content is allowed from then on; restored is not allowed")
def _(suite):
    with Host(suite) as host:
        policy(host)
        folder = maildir(host)
        path, other = os.path.join(folder, "cur", "1:2,S"), os.path.join(folder, "cur", "2:2,S")
        for at, content in ((path, EICAR), (other, MARKER)):
            with open(at, "wb") as f:
                f.write(content)
        host.start()
        suite.check("control: both are denied and moved", host.read(path) is None and host.read(other) is None and
                    gone(path, other))
        ids = {r["path"]: r["id"] for r in item(host, 2)}
        rc, text = host.tool("quarantine", "restore", ids[other])
        suite.check("restored: still denied", rc == 0 and host.read(other) is None and not gone(other), text)
        rc, text = host.tool("release", ids[path])
        suite.check("released", rc == 0, text)
        suite.check("it reads", host.read(path) == EICAR)
        copy = deliver(folder, "3.M3", EICAR)
        suite.check("another file of the same content too", eventually(lambda: host.read(copy) == EICAR, 5))
        suite.check("the allow list names it", EICAR and len(host.tool_json("allow", "list")) == 1, host.tool_json("allow", "list"))
        suite.check("the other one is denied as before", host.read(other) is None and not gone(other))


@suite.test("release: what it cannot do it says, and does nothing; ids are taken whole")
def _(suite):
    with Host(suite) as host:
        host.policy(host.watch(store="maildir"), scanner={"max_file_size": "10k"})
        folder = maildir(host)
        large, small = os.path.join(folder, "cur", "1:2,S"), os.path.join(folder, "cur", "2:2,S")
        for path, content in ((large, CLEAN * 500), (small, EICAR)):
            with open(path, "wb") as f:
                f.write(content)
        host.start()
        suite.check("control: both are denied and moved", host.read(large) is None and host.read(small) is None)
        ids = {r["path"]: r["id"] for r in item(host, 2)}
        rc, text = host.tool("release", ids[large])
        suite.check("above max-file-size: it says that it can't be allowed", rc == 2 and "max-file-size" in text, (rc, text))
        suite.check("nothing was done", gone(large) and len(items(host)) == 2 and host.tool_json("allow", "list") == [])
        with open(small, "wb") as f:
            f.write(CLEAN)
        rc, text = host.tool("release", ids[small])
        suite.check("another file is in the way: allowed by now, but not back", rc == 2 and small in text and "allowed" in text and
                    len(host.tool_json("allow", "list")) == 1 and len(items(host)) == 2, (rc, text))
        os.unlink(small)
        for what, ident in (("a part", ids[small][:-1]), ("nothing", ""), ("two", ids[small] + "\n"), ("a path", "../" + ids[small]),
                            ("long", "x" * 5000), ("colours", "\x1b[31mx"), ("unknown", "20260101T000000-00000000"),
                            ("an option", "--all"), ("not UTF-8", b"\xff\xfe")):
            rc, text = host.tool("release", ident)
            suite.check("%s for an id: 2, and one line of plain text" % what, rc == 2 and "\x1b" not in text and
                        len(text.splitlines()) <= 2 and len(items(host)) == 2, (rc, text[:300]))
        rows = host.tool_json("release", ids[small])
        suite.check("--json: id, result, text", [(r["id"], r["result"]) for r in rows] == [(ids[small], "done")] and
                    "allowed" in rows[0]["text"], rows)
        suite.check("and it reads", host.read(small) == EICAR)
        host.policy(host.watch(store="maildir"))
        suite.check("with a higher limit the large one is released", host.tool("reload")[0] == 0 and
                    host.tool("release", ids[large])[0] == 0 and eventually(lambda: host.read(large) == CLEAN * 500, 10))
        host.stop()
        suite.check("no daemon: 3", host.tool("release", ids[small])[0] == 3)


@suite.test("nobody but root gets at it")
def _(suite):
    with Host(suite) as host:
        policy(host)
        path = os.path.join(maildir(host), "cur", "1:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        os.chown(path, 4711, 4711)
        suite.check("control: its owner reads it before",
                    suite.run(["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups", "cat", path]).rc == 0)
        host.start()
        host.read(path)
        row = item(host)
        place = os.path.join(host.fs, FOLDER, row["id"])
        user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
        suite.check("control: root sees it", os.path.exists(place + "/0"))
        suite.check("its owner cannot read it there", suite.run(user + ["cat", place + "/0"]).rc != 0)
        suite.check("nor list it", suite.run(user + ["ls", os.path.join(host.fs, FOLDER)]).rc != 0)
        suite.check("the folder is root's, 0700", stat.S_IMODE(os.stat(os.path.join(host.fs, FOLDER)).st_mode) == 0o700)
        scans = host.counter("scans")
        for _ in range(3):
            with open(place + "/0", "rb") as f:
                suite.check("root, who looks into it there, is not asked about", f.read() == EICAR)
        suite.check("and nothing is scanned for it", host.counter("scans") == scans and len(items(host)) == 1)
        rc = suite.run(user + [os.path.join(host.programs, "mailward"), "--runtime-dir", host.runtime, "quarantine",
                               "restore", row["id"]]).rc
        suite.check("nor can he ask the daemon for it", rc != 0 and gone(path))


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(word) for word in f.read().split()]


def name_of(pid):
    try:
        with open("/proc/%d/cmdline" % pid) as f:
            return f.read()
    except OSError:
        return ""


OTHERS = ["recheck", "verdict", "notice", "sweep", "places"]  # files that the steward writes of its own accord


class Steps:
    """A change of two names of one content, by the steward, which is killed before each of its steps on the disk in turn:
    every state that a kill can leave is met, and what its successor makes of it is looked at."""

    def __init__(self, suite, host, copies):
        self.suite, self.host, self.number = suite, host, 0
        self.place = os.path.join(host.state, "steward/quarantine") if copies else os.path.join(host.fs, FOLDER)
        self.folders = [os.path.join(maildir(host, user), "cur") for user in ("anna", "berta")]
        self.contents = {}

    def new(self):
        """A new infected file, outside of the watch; .put() gives it its two names."""
        self.number += 1
        content = b"%d " % self.number + EICAR + bytes(50000 + 100 * self.number)  # no two are of one size
        paths = tuple(os.path.join(folder, "%d:2,S" % self.number) for folder in self.folders)
        part = os.path.join(self.host.fs, "part")
        with open(part, "wb") as f:
            f.write(content)
        os.chown(part, 4711, 4712)
        os.chmod(part, 0o640)
        os.utime(part, ns=(10 ** 18, 10 ** 18 + self.number))
        self.contents[paths] = content
        return paths

    def put(self, paths):
        part = os.path.join(self.host.fs, "part")
        os.link(part, paths[1])
        os.rename(part, paths[0])

    def read(self, paths):
        """Opens what is left of it. -> whether it was denied each time, and in time"""
        denied = True
        for path in paths:
            started = time.monotonic()
            try:
                denied = denied and self.host.read(path) is None
            except FileNotFoundError:
                pass
            denied = denied and time.monotonic() - started < 1 + SLACK
        return denied

    def entries(self, paths):
        """{id: [entry]} of what lies in the quarantine of this content."""
        found = {}
        for root, _, names in os.walk(self.place):
            for name in names:
                if name.isdigit() and os.stat(os.path.join(root, name)).st_size == len(self.contents[paths]):
                    found.setdefault(os.path.basename(root), []).append(name)
        return found

    def wrong(self, paths):
        try:
            return self.look(paths)
        except (FileNotFoundError, ValueError) as error:  # it was moved under our eyes, or nobody answers yet
            return [error]

    def look(self, paths):
        """What is not as it should be: each name is there, or an entry of one listed object; never both, never none."""
        there = [p for p in paths if os.path.lexists(p)]
        entries = self.entries(paths)
        listed = {r["id"]: r["moved"] for r in items(self.host)}
        wrong = []
        if len(there) + sum(map(len, entries.values())) != len(paths) or len(entries) > 1:
            wrong.append(("names", there, entries))
        wrong += [("not listed", i) for i, names in entries.items() if listed.get(i) != len(names)]
        for path in there:
            s = os.stat(path)
            if (s.st_uid, s.st_gid, s.st_mode & 0o7777, s.st_size, s.st_mtime_ns - 10 ** 18) != (
                    4711, 4712, 0o640, len(self.contents[paths]), int(os.path.basename(path).split(":")[0])):
                wrong.append(("not as it was", path, s))
        return wrong + [n for f in self.folders for n in os.listdir(f) if n.startswith(".") or "mailward" in n]

    def steward(self):
        return next((pid for pid in children(self.host.daemon.pid) if name_of(pid).startswith("mailward-stewar")), None)

    def kill_at(self, step, change, over):
        """-> the step that it was killed before; None: there are fewer."""
        pid = self.steward()
        tracer = self.suite.popen([helper("kill_at"), str(pid), str(step)] + OTHERS, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if tracer.stdout.readline() != b"ready\n":
            raise Failure("the steward can't be traced")
        change()
        eventually(lambda: tracer.poll() is not None or over(), 5, 0.01)
        for _ in range(8):  # what comes after the answer is a step, too
            if tracer.poll() is None:
                time.sleep(0.01)
        tracer.stdin.close()
        said = tracer.stdout.read().decode().split()
        if said[:1] == ["killed"]:
            if not eventually(lambda: self.steward() not in (None, pid), 10, 0.01):
                raise Failure("no steward comes after it: %s" % self.host.log()[-300:])
            return " ".join(said[1:])
        if said[:1] != ["passed"]:
            raise Failure("the steward ended by itself: %s" % self.host.log()[-300:])
        return None

    def every(self, what, begin, change, over, after):
        """One after another, each with a subject of its own."""
        met, wrong = [], []
        for step in range(1, 120):
            subject = begin()
            name = self.kill_at(step, lambda: change(subject), lambda: over(subject))
            bad = eventually(lambda: not after(subject), 5) or after(subject)
            if bad is not True:
                wrong.append((step, name, bad))
            if not name or len(wrong) == 3:
                break
            met.append(name)
        self.suite.say("%s, %d steps: %s" % (what, len(met), ", ".join(met)))
        self.suite.check("%s: killed before each step, each message is in one place, whole" % what, met and not wrong, wrong[:3])
        return " ".join(met)


def kill_at_each_step(suite, copies):
    with Host(suite) as host:  # in memory: what a kill leaves is the same, and a step takes less time
        if copies:
            own_mount(host)
        policy(host, deadline="1s")
        steps = Steps(suite, host, copies)
        host.start()
        words = "copied" if copies else "moved"
        taken = []

        def taking():
            taken.append(steps.new())
            return taken[-1]

        def take(paths):
            steps.put(paths)
            if not steps.read(paths):
                suite.check("denied, in time", False, paths)

        met = steps.every(words + ", taken away", taking, take, lambda paths: gone(*paths), steps.wrong)
        wanted = ("mkdirat", "openat about.new", "renameat about", "linkat 1", "unlinkat .mailward-gone-") if copies \
            else ("mkdirat", "openat about.new", "renameat about", "renameat2 0", "renameat2 1")
        suite.check("control: %s: all of its steps were met" % words, all(w in met for w in wanted), (wanted, met))
        for paths in taken:
            steps.read(paths)
        suite.check("%s: all of them could be moved in the end" % words, eventually(
            lambda: all(gone(*p) for p in taken) and all(r["moved"] == 2 for r in items(host)), 10) and
            len(items(host)) == len(taken), (len(items(host)), len(taken)))
        back = []

        def restoring():
            while not taken:  # more steps than objects
                taken.append(steps.new())
                take(taken[-1])
                host.wait("it is moved", lambda: gone(*taken[-1]))
            back.append(taken.pop())
            return back[-1]

        def restore(paths):
            host.tool("quarantine", "restore", next(iter(steps.entries(paths))))

        met = steps.every(words + ", given back", restoring, restore, lambda paths: not steps.entries(paths), steps.wrong)
        wanted = ("openat restoring", "openat .", "linkat", "unlinkat restoring") if copies \
            else ("openat restoring", "renameat2", "unlinkat restoring")
        suite.check("control: %s: all of its steps back were met" % words, all(w in met for w in wanted), (wanted, met))
        for row in items(host):
            if any(row["path"] in paths for paths in back):
                host.tool("quarantine", "restore", row["id"])
        suite.check("%s: all come back in the end" % words, all(os.path.exists(p) for paths in back for p in paths) and
                    all(os.stat(p[0]).st_ino == os.stat(p[1]).st_ino for p in back))

        def deleting():
            paths = restoring()
            back.remove(paths)
            return paths

        def delete(paths):
            host.tool("quarantine", "delete", next(iter(steps.entries(paths))), "--yes")

        def half(paths):
            entries = steps.entries(paths)
            listed = {r["id"]: r["moved"] for r in items(host)}
            return [] if not entries else [(i, n) for i, n in entries.items() if len(n) != 2 or listed.get(i) != 2]
        if not copies:  # it is the same
            steps.every(words + ", deleted", deleting, delete, lambda paths: not steps.entries(paths), half)
        for row in items(host):
            host.tool("quarantine", "delete", row["id"], "--yes")
        left = [n for n in os.listdir(steps.place) if not n.startswith(".")]
        suite.check("%s: no rest in the folder" % words, left == [], left)
        host.stop()
        suite.check("%s: what came back is what it was" % words, not [w for paths in back for w in (
            [] if all(open(p, "rb").read() == steps.contents[paths] for p in paths) else [paths])])


@suite.test("a steward that stands still: the open is denied at its deadline, the mail goes on")
def _(suite):
    with Host(suite) as host:
        policy(host, deadline="1s")
        folder = maildir(host)
        path = os.path.join(folder, "cur", "1:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        clean = host.put("anna/Maildir/cur/2:2,S", CLEAN)
        host.start()
        pid = host.pid("steward")
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        suite.check("denied", host.read(path) is None)
        waited = time.monotonic() - started
        suite.check("at its deadline", 0.5 < waited < 1 + SLACK, waited)
        suite.check("a clean one reads meanwhile", host.read(clean) == CLEAN)
        suite.check("nothing was moved", os.path.exists(path))
        os.kill(pid, signal.SIGCONT)
        suite.check("once it goes on it moves the file", eventually(lambda: gone(path), 10))
        os.kill(pid, signal.SIGKILL)
        host.wait("another one", lambda: host.pids().get("steward") not in (None, pid))
        other = deliver(folder, "3.M3", MARKER)
        suite.check("its successor goes on", eventually(lambda: gone(other), 10), host.log()[-300:])


@suite.test("disk full: denied where it lies, nothing lost, and status says so")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        policy(host)
        folder = maildir(host)
        path = os.path.join(folder, "cur", "1:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        host.start()
        with open(host.outside + "/filler", "wb", buffering=0) as f:
            for size in (1 << 20, 4096, 512):
                try:
                    while True:
                        f.write(b"x" * size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
        suite.check("denied", host.read(path) is None)
        suite.check("it lies where it was", os.path.exists(path) and items(host) == [])
        issue = host.wait("an issue", lambda: [i for i in host.status()["issues"] if i["id"] == "quarantine"])[0]
        suite.check("status says that there is no room", "room" in issue["text"] or "space" in issue["text"], issue)
        left = [n for n in os.listdir(host.fs + "/" + FOLDER) if not n.startswith(".")]
        suite.check("no half object", left == [], left)
        os.unlink(host.outside + "/filler")
        suite.check("with room again it is moved at the next open", host.read(path) is None and gone(path))
        suite.check("the issue is over", eventually(lambda: not [i for i in host.status()["issues"] if
                                                                 i["id"] == "quarantine"], 10), host.status()["issues"])


@suite.test("a store that cannot be written: denied where it lies, read as ever, moved once it can be written again")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        policy(host)
        folder = maildir(host)
        bad, good = os.path.join(folder, "cur", "1:2,S"), os.path.join(folder, "cur", "2:2,S")
        for path, content in ((bad, EICAR), (good, CLEAN)):
            with open(path, "wb") as f:
                f.write(content)
        suite.check("control: without the daemon the infected one is read", host.read(bad) == EICAR)
        host.start()
        host.mount("-o", "remount,ro", host.fs)
        suite.check("denied", host.read(bad) is None)
        suite.check("a clean one beside it is read", host.read(good) == CLEAN)
        suite.check("it lies where it was", os.path.exists(bad) and items(host) == [])
        row = eventually(lambda: [one for one in host.blocked() if one["path"] == bad], 5)
        suite.check("blocked says why it was not moved", row and "Read-only file system" in row[0]["detail"], row)
        host.mount("-o", "remount,rw", host.fs)
        suite.check("once it can be written it is moved at the next open", host.read(bad) is None and gone(bad))
        suite.check("and listed", len(items(host)) == 1)


def power_cut(path):
    """EXT4_IOC_SHUTDOWN without a flush of the journal: what was not written to the device is gone."""
    import fcntl
    import struct
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, 0x8004587d, struct.pack("I", 2))
    finally:
        os.close(fd)


def cut_power(suite):
    with Host(suite, file_system="ext4") as host:
        policy(host, deadline="1s")
        random.seed(1147)
        contents, cuts = {}, 0

        def places(below=host.fs):
            """-> {content: [where]} of everything below the file system."""
            found = {}
            for root, _, names in os.walk(below):
                for name in names:
                    if FOLDER in root and not name.isdigit():
                        continue
                    with open(os.path.join(root, name), "rb") as f:
                        found.setdefault(f.read(), []).append(os.path.join(root, name))
            return found

        def again():
            host.kill()
            for _ in range(50):
                if subprocess.run(["umount", host.fs], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                raise Failure("the file system can't be unmounted")
            subprocess.run(["mount", "-o", "loop", host.base + "/image", host.fs], check=True)
        folder = maildir(host)
        for cut in range(6):
            paths = []
            for number in range(12):
                path = os.path.join(folder, "cur", "%d-%d:2,S" % (cut, number))
                with open(path, "wb") as f:
                    f.write(b"%d-%d " % (cut, number) + EICAR)
                contents[b"%d-%d " % (cut, number) + EICAR] = path
                paths.append(path)
            os.sync()
            host.start()
            readers = host.openers(12, *paths)
            time.sleep(random.random() * 0.25)
            moved = sum(not os.path.exists(p) for p in paths)
            power_cut(host.fs)
            cuts += 1
            again()
            found = places()
            wrong = [(c[:8], found.get(c)) for c in contents if len(found.get(c, [])) != 1]
            suite.check("cut %d: each is in one place, and whole" % cut, not wrong, wrong[:4])
            here = sum(os.path.exists(p) for p in paths)
            suite.say("cut %d: %d of 12 had been moved; %d are where they were" % (cut, moved, here))
            host.start()
            suite.check("cut %d: the daemon lists what lies there, and no rest" % cut, len(items(host)) == eventually(
                lambda: (lambda n: n if n == len(items(host)) else None)(sum(
                    len(where) for where in places(os.path.join(host.fs, FOLDER)).values())), 5), items(host)[:2])
            for path in paths:
                if os.path.exists(path):
                    host.read(path)
            suite.check("cut %d: what is left is moved now" % cut, eventually(lambda: gone(*paths), 10))
            host.stop()
        host.start()
        # The same while they are given back.
        ids = [r["id"] for r in items(host)]
        suite.check("control: all of them are there", len(ids) == len(contents), (len(ids), len(contents)))
        for cut in range(3):
            os.sync()
            back = suite.popen(["/usr/bin/python3", "-S", "-c", "import subprocess,sys\nfor i in sys.argv[3:]:\n subprocess.run("
                                "[sys.argv[1],'--runtime-dir',sys.argv[2],'quarantine','restore',i],stdout=-3,stderr=-3)",
                                os.path.join(host.programs, "mailward"), host.runtime] + ids)
            time.sleep(0.05 + random.random() * 0.3)
            power_cut(host.fs)
            again()
            back.kill()
            found = places()
            wrong = [(c[:8], found.get(c)) for c in contents if len(found.get(c, [])) != 1]
            suite.check("cut while restoring %d: each is in one place, and whole" % cut, not wrong, wrong[:4])
            host.start()
        for row in items(host):
            host.tool("quarantine", "restore", row["id"])
        suite.check("all come back in the end", items(host) == [] and all(os.path.exists(p) for p in contents.values()),
                    (items(host)[:1], [p for p in contents.values() if not os.path.exists(p)][:3]))
        suite.say("%d power cuts" % (cuts + 3))


@suite.test("kill -9 of the steward before each step, and power cuts at any moment, lose nothing and double nothing")
def _(suite):
    beside(lambda: kill_at_each_step(suite, False), lambda: kill_at_each_step(suite, True), lambda: cut_power(suite))


@suite.test("bounds: by age and size, with a warning before it purges, never within a day")
def _(suite):
    with Host(suite, size="900M") as host:
        policy(host, "quarantine { max-age = 10d  max-size = 3M }\n")
        folder = maildir(host)
        paths = [os.path.join(folder, "cur", "%d:2,S" % i) for i in range(11)]
        for i, path in enumerate(paths):
            with open(path, "wb") as f:
                f.write(b"%d" % i + os.urandom(290000) + EICAR)
        host.start()
        purges = lambda: [i["text"] for i in host.status()["issues"] if i["id"] == "quarantine-purge"]
        for path in paths[:9]:
            host.read(path)
        rows = item(host, 9)
        suite.check("control: no warning yet", not purges())
        host.read(paths[9])
        suite.check("nine tenths full: it is said at once", item(host, 10) and host.wait("a warning", purges))
        suite.check("what is younger than a day is not purged: the next one is not taken", host.read(paths[10]) is None and
                    len(items(host)) == 10 and os.path.exists(paths[10]), (len(items(host)), os.listdir(folder + "/cur")))
        issue = host.wait("an issue", lambda: [i for i in host.status()["issues"] if i["id"] == "quarantine"])[0]
        suite.check("status says that it is full", "full" in issue["text"], issue)
        host.stop()
        age(host, rows[0]["id"], 2)
        host.start()
        suite.check("nearly full: a warning", host.wait("a warning", purges))
        suite.check("the oldest, two days old, makes room", host.read(paths[10]) is None and
                    eventually(lambda: gone(paths[10]), 10) and
                    rows[0]["id"] not in [r["id"] for r in items(host)] and len(items(host)) == 10)
        suite.check("the log says what was purged, and why", "purged %s from the quarantine: max-size" % rows[0]["id"] in host.log())
        suite.check("and a file does", rows[0]["id"] in open(host.state + "/steward/purged.jsonl").read())
        host.stop()
        policy(host, "quarantine { max-age = 10d  max-size = 30M }\n")
        age(host, rows[1]["id"], 9.5)
        age(host, rows[2]["id"], 20)  # the clock has jumped, or the host was off
        host.start()
        text = host.wait("a warning", purges)
        suite.check("days before it goes by age it is said", "2 objects" in text[0], text)
        suite.check("none that nobody was told of is purged, however old", {rows[1]["id"], rows[2]["id"]} <=
                    {r["id"] for r in items(host)}, host.log()[-300:])
        host.stop()
        age(host, rows[1]["id"], 1)
        host.start()
        there = lambda row: row["id"] in [r["id"] for r in items(host)]
        # The oldest goes first: it was told of too short a time ago.
        suite.check("it was told of for less than a day: the other one, older still, stays, and it with it", host.wait(
            "a warning", purges) and there(rows[1]) and there(rows[2]))
        host.stop()
        age(host, rows[2]["id"], 1)
        host.start()
        suite.check("past max-age, and told of for a day: purged", eventually(lambda: not there(rows[1]) and not there(rows[2]), 10))
        suite.check("the rest is there", len(items(host)) == 8)
        host.stop()
        # Its change lies in the future: the clock was wrong, and is right again.
        age(host, rows[3]["id"], 12)
        os.close(os.open(announced(host, rows[3]["id"]), os.O_WRONLY | os.O_CREAT, 0o600))
        os.utime(announced(host, rows[3]["id"]), (time.time() + 86400 * 30,) * 2)
        host.start()
        suite.check("a time in the future counts for nothing", host.wait("a warning", purges) and there(rows[3]) and
                    os.stat(announced(host, rows[3]["id"])).st_mtime < time.time() + 60)


@suite.test("a mailbox that is a mount of its own gets no folder: what is moved away is copied, exactly, and comes back")
def _(suite):
    with Host(suite, file_system="ext4") as host:
        own_mount(host)
        policy(host)
        one, two = (os.path.join(maildir(host, user), "cur", "1:2,S") for user in ("anna", "berta"))
        with open(one, "wb") as f:
            f.write(EICAR + bytes(3 << 20))
        os.link(one, two)
        os.chown(one, 4711, 4712)
        os.chmod(one, 0o640)
        os.setxattr(one, "user.note", b"\x00\xff hostile \n")
        os.setxattr(one, "trusted.mailward.test", b"1")
        os.setxattr(one, "system.posix_acl_access", bytes.fromhex(
            "02000000" "01000600ffffffff" "02000400" "e8030000" "04000400ffffffff" "10000400ffffffff" "20000000ffffffff"))
        os.utime(one, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
        before = facts(one)
        host.start()
        suite.check("denied", host.read(one) is None)
        suite.check("both names are gone", eventually(lambda: gone(one, two), 10))
        suite.check("no folder in the mailbox, nothing else left there", not os.path.exists(host.fs + "/" + FOLDER) and
                    os.listdir(os.path.dirname(one)) == [] == os.listdir(os.path.dirname(two)))
        row = host.wait("2 of 2", lambda: [r for r in items(host) if r["moved"] == r["links"] == 2])[0]
        suite.check("it lies in the state folder", os.path.exists(host.state + "/steward/quarantine/" + row["id"] + "/0"))
        suite.check("status has no issue of it", not [i for i in host.status()["issues"] if i["id"] == "quarantine"],
                    host.status()["issues"])
        host.stop()
        host.start()
        suite.check("a new daemon knows it", item(host)["id"] == row["id"])
        host.put("berta/Maildir/cur/1:2,S", CLEAN)
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("never over another file", rc == 2 and two in text and gone(one) and open(two, "rb").read() == CLEAN, text)
        os.unlink(two)
        rc, text = host.tool("quarantine", "restore", row["id"])
        suite.check("restored", rc == 0, text)
        after = facts(one)
        suite.check("all but the inode's number is as it was", {k: v for k, v in after.items() if k != "ino"} ==
                    {k: v for k, v in before.items() if k != "ino"} and os.stat(two).st_ino == after["ino"], (before, after))
        suite.check("still denied, and it stays", host.read(one) is None and not gone(one) and items(host) == [])
        host.stop()
        suite.check("its content", open(one, "rb").read() == EICAR + bytes(3 << 20))


@suite.test("a folder of that name that is not ours is not used")
def _(suite):
    with Host(suite) as host:
        os.mkdir(host.fs + "/" + FOLDER, 0o777)
        policy(host)
        path = os.path.join(maildir(host), "cur", "1:2,S")
        with open(path, "wb") as f:
            f.write(EICAR)
        host.start()
        suite.check("denied and moved", host.read(path) is None and gone(path) and len(items(host)) == 1)
        suite.check("not into a folder that anybody can read", os.listdir(host.fs + "/" + FOLDER) == [])


suite.main()
