#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""tests/vm/kernels.py NAME...      NAME: 6.1, 6.12, 6.18, 7, newest

Fetches a distribution kernel (the non-cloud amd64 flavour of Debian's packages) and unpacks it below
BUILD/vm/kernels/RELEASE; prints `NAME RELEASE FOLDER`. The folder holds `vmlinuz` (unpacked where that is quick) and `modules/`.
Ends with 77, and one line that says why, where a kernel can't be had.

Which suite holds which kernel: Debian 12 itself has 6.1, bookworm-backports 6.12, trixie-backports what is newer. The
mirror is the one that apt already uses; lists and packages go to folders of our own (BUILD/vm/apt), so that nothing is
installed and the machine's package lists stay as they are. `newest` is the highest version that any of the three has.
From 7.0 on the image package is nearly empty: kernel and modules are in packages that its Depends line names.
"""
import fcntl
import glob
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
VM = os.path.join(ROOT, os.environ.get("BUILD", "build"), "vm")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
NAMES = {"6.1": "bookworm", "6.12": "bookworm-backports", "6.18": "trixie-backports", "7": "trixie-backports"}
NEWEST_FIRST = ("trixie-backports", "bookworm-backports", "bookworm")
IMAGE = re.compile(r"linux-image-(\d+\.\d[^_]*?)-amd64$")
OTHERS = ("-cloud", "-rt", "-dbg", "-unsigned")  # flavours that are not ours
KEEP_DAYS = 7  # how long `newest` stays what it was found to be


class CannotBeHad(Exception):
    """The sentence after `skipped`."""


class Kernel:
    def __init__(self, folder):
        self.folder = os.path.realpath(folder)
        self.release = os.path.basename(self.folder)
        self.image = os.path.join(self.folder, "vmlinuz")
        self.modules = os.path.join(self.folder, "modules")

    @property
    def version(self):
        """(6, 12)"""
        return tuple(int(n) for n in re.match(r"(\d+)\.(\d+)", self.release).groups())


def apt(suite, *args):
    """An apt command that sees one suite, and writes only below BUILD/vm/apt."""
    base = os.path.join(VM, "apt", suite)
    options = {"Dir::Etc::SourceList": base + "/sources.list", "Dir::Etc::SourceParts": "-",
               "Dir::State::Lists": base + "/lists", "Dir::Cache": base + "/cache", "Dir::State::status": base + "/status",
               "APT::Sandbox::User": "root", "APT::Get::List-Cleanup": "false", "APT::Architecture": "amd64",
               "Acquire::Languages": "none", "APT::Update::Post-Invoke-Success": "", "Acquire::Retries": "2"}
    words = [word for key, value in options.items() for word in ("-o", "%s=%s" % (key, value))]
    # Its errors name hosts that are nobody's business; what failed is told in words of ours.
    return subprocess.run([args[0]] + words + list(args[1:]), cwd=base, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          universal_newlines=True)


def sources(suite):
    """Lines of sources.list for one suite, from what apt is configured with."""
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True).stdout
    signed = "[arch=amd64 signed-by=%s] " % KEYRING if os.path.exists(KEYRING) else "[arch=amd64] "
    have = [tuple(line.split()) for line in targets.splitlines() if len(line.split()) == 2]
    mirror = next((uri for uri, release in have if re.match(r"(bookworm|trixie|stable)$", release)), None)
    if mirror is None:
        raise CannotBeHad("apt here is configured with no Debian mirror")
    wanted = {(mirror, suite)}
    if suite == "bookworm":
        wanted |= {(uri, release) for uri, release in have if release.startswith("bookworm-")}
    return "".join("deb %s%s %s main\n" % (signed, uri, release) for uri, release in sorted(wanted))


def packages(suite):
    """Version -> name of each image package of a suite; its lists are fetched at most once a day."""
    base = os.path.join(VM, "apt", suite)
    for folder in ("lists/partial", "cache/archives/partial"):
        os.makedirs(os.path.join(base, folder), exist_ok=True)
    open(base + "/status", "a").close()
    text = sources(suite)
    with open(base + "/sources.list", "w") as f:
        f.write(text)
    stamp = base + "/updated"
    if not os.path.exists(stamp) or os.path.getmtime(stamp) < time.time() - 86400:
        apt(suite, "apt-get", "-q", "update")
        if glob.glob(base + "/lists/*_Packages*"):
            open(stamp, "w").close()
    names = apt(suite, "apt-cache", "pkgnames", "linux-image-").stdout.split()
    found = {}
    for name in names:
        if not any(word in name for word in OTHERS) and IMAGE.match(name):
            found[name] = field(suite, name, "Version")
    if not found:
        raise CannotBeHad("the package sources do not reach %s" % suite)
    return found


def field(suite, package, name):
    shown = apt(suite, "apt-cache", "show", "--no-all-versions", package).stdout
    match = re.search(r"^%s: (.*)$" % name, shown, re.M)
    return match.group(1) if match else ""


def newer(one, other):
    return subprocess.run(["dpkg", "--compare-versions", one, "gt", other]).returncode == 0


def best(found):
    """The name of the package with the highest version."""
    chosen = None
    for name, version in found.items():
        if version and (chosen is None or newer(version, found[chosen])):
            chosen = name
    return chosen


def choose(name):
    """-> (suite, image package)"""
    if name != "newest":
        suite = NAMES[name]
        exact = re.compile(r"linux-image-%s[.+-]" % re.escape(name))
        chosen = best({p: v for p, v in packages(suite).items() if exact.match(p)})
        if chosen is None:
            raise CannotBeHad("%s has no kernel %s" % (suite, name))
        return suite, chosen
    why = None
    for suite in NEWEST_FIRST:
        try:
            return suite, best(packages(suite))
        except CannotBeHad as error:
            why = error
    raise why


def unpack(suite, image):
    """Downloads an image package and what belongs to it -> folder of the kernel."""
    release = image[len("linux-image-"):]
    folder = os.path.join(VM, "kernels", release)
    if os.path.exists(folder + "/vmlinuz"):
        return folder
    parts = [image] + [p for p in re.findall(r"linux-(?:binary|modules|image)-[^\s,|()]+", field(suite, image, "Depends"))
                       if release in p or p.endswith("-amd64")]
    work = folder + ".new"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work + "/tree")
    for package in dict.fromkeys(parts):
        cache = os.path.join(VM, "apt", suite)
        apt(suite, "apt-get", "-q", "download", package)
        debs = glob.glob(os.path.join(cache, package + "_*.deb"))
        if not debs:
            shutil.rmtree(work)
            raise CannotBeHad("package %s could not be downloaded" % package)
        subprocess.run(["dpkg-deb", "-x", debs[0], work + "/tree"], check=True)
        for deb in debs:
            os.unlink(deb)
    kernels = glob.glob(work + "/tree/boot/vmlinuz*") + glob.glob(work + "/tree/**/vmlinuz*", recursive=True)
    modules = glob.glob(work + "/tree/**/modules/*/kernel", recursive=True)
    if not kernels or not modules:
        raise CannotBeHad("package %s holds no kernel or no modules" % image)
    # Drivers of real hardware are three quarters of it.
    for driver in glob.glob(modules[0] + "/drivers/*"):
        if os.path.basename(driver) not in ("block", "virtio", "char", "net"):
            shutil.rmtree(driver)
    for vendor in glob.glob(modules[0] + "/drivers/net/*/"):
        shutil.rmtree(vendor)
    for sound in glob.glob(modules[0] + "/sound"):
        shutil.rmtree(sound)
    with open(kernels[0], "rb") as f:
        image = f.read()
    with open(work + "/vmlinuz", "wb") as f:
        f.write(unpacked(image))
    os.rename(modules[0], work + "/modules")
    shutil.rmtree(work + "/tree")
    shutil.rmtree(folder, ignore_errors=True)
    os.rename(work, folder)
    return folder


def unpacked(image):
    """The ELF inside an image (xz in 6.1, zstd later): an emulated processor takes seconds to unpack it, we do it once. The
    image itself where that doesn't work."""
    def by_xz(data):
        return lzma.LZMADecompressor().decompress(data)

    def by_zstd(data):  # it complains of what stands behind the end
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout

    for magic, method in ((b"\xfd7zXZ\0", by_xz), (b"\x28\xb5\x2f\xfd", by_zstd)):
        start = image.find(magic)
        while start >= 0:
            try:
                whole = method(image[start:])
            except (lzma.LZMAError, OSError):
                whole = b""
            if is_whole_elf(whole):
                return whole
            start = image.find(magic, start + 1)
    return image


def is_whole_elf(data):
    """Its last part, the section headers, is there too."""
    if data[:5] != b"\x7fELF\2" or len(data) < 64:
        return False
    offset, (size, count) = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<HH", data, 58)
    return offset + size * count <= len(data)


def get(name):
    """-> Kernel, or CannotBeHad."""
    if name not in NAMES and name != "newest":
        raise CannotBeHad("no such kernel; known: %s, newest" % ", ".join(NAMES))
    kernels = os.path.join(VM, "kernels")
    os.makedirs(kernels, exist_ok=True)
    link = os.path.join(kernels, "is-" + name)
    with open(kernels + "/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cached = os.path.exists(link + "/vmlinuz")
        fresh = cached and (name != "newest" or os.lstat(link).st_mtime > time.time() - KEEP_DAYS * 86400)
        if not fresh:
            try:
                for program in ("apt-get", "apt-cache", "dpkg-deb"):
                    if not shutil.which(program):
                        raise CannotBeHad("there is no %s here" % program)
                folder = unpack(*choose(name))
            except CannotBeHad:
                if not cached:
                    raise
            else:
                if os.path.lexists(link):
                    os.unlink(link)
                os.symlink(os.path.basename(folder), link)
        return Kernel(link)


def main():
    for name in sys.argv[1:] or ["6.1"]:
        try:
            kernel = get(name)
        except CannotBeHad as error:
            print("kernel %s can't be had: %s" % (name, error))
            return 77
        print(name, kernel.release, kernel.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
