# SPDX-License-Identifier: GPL-2.0-only
"""What the suites of the quarantine have in common."""
import json
import os
import threading

from harness import Failure, eventually

FOLDER = ".mailward-quarantine"


def maildir(host, user="anna"):
    folder = os.path.join(host.watched, user, "Maildir")
    for name in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    return folder


def policy(host, extra="", **words):
    words.setdefault("store", "maildir")
    host.policy(host.watch(**words), top=extra)


def items(host):
    return host.tool_json("quarantine", "list")


def item(host, count=1):
    rows = eventually(lambda: (lambda rows: rows if len(rows) == count else None)(items(host)), 10)
    if not rows:
        raise Failure("not %d objects in the quarantine: %s; log: %s" % (count, items(host), host.log()[-600:]))
    return rows[0] if count == 1 else rows


def gone(*paths):
    return not any(os.path.lexists(p) for p in paths)


def facts(path):
    """All that is to come back: content, owner, mode, ACL and attributes, times, links."""
    s = os.stat(path)
    names = sorted(os.listxattr(path))
    return {"ino": s.st_ino, "uid": s.st_uid, "gid": s.st_gid, "mode": s.st_mode, "size": s.st_size, "links": s.st_nlink,
            "mtime": s.st_mtime_ns, "xattrs": {n: os.getxattr(path, n) for n in names}}


def announced(host, ident):
    """The file whose time says since when it is said that this object goes soon."""
    return os.path.join(host.fs, FOLDER, ident, "announced")


def age(host, ident, days):
    """Makes an object older. The daemon must not run."""
    path = os.path.join(host.fs, FOLDER, ident, "about")
    with open(path) as f:
        about = json.load(f)
    about["time_ns"] -= int(days * 86400e9)
    with open(path, "w") as f:
        json.dump(about, f)
    if os.path.exists(announced(host, ident)):
        told = os.stat(announced(host, ident)).st_mtime - days * 86400
        os.utime(announced(host, ident), (told, told))


def own_mount(host):
    """The root of the mount is a mailbox itself: no folder can be made in it."""
    for name in ("cur", "new", "tmp"):
        os.mkdir(os.path.join(host.fs, name))


def beside(*functions):
    """At one time, each with a host of its own: what they do most of the time is wait."""
    failed = []

    def run(function):
        try:
            function()
        except Exception as error:
            failed.append(error)
    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
