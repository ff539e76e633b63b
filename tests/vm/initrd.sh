#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# /init of the virtual machine's initrd: modules, the host's root read-only over 9p below an overlay, then guest.sh.
# A kernel that panics here is booted once more by tests/vm/machine.py.
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /host /top /new
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do
	insmod "$module" || echo "vm: $module can't be loaded"
done
die() {
	echo "vm: $*" >/dev/console
	poweroff -f
}
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro hostroot /host || die "no host root"
mount -t tmpfs -o mode=755,size=75% upper /top
mkdir -m 755 /top/upper /top/work
mount -t overlay -o lowerdir=/host,upperdir=/top/upper,workdir=/top/work root /new || die "no overlay"
mount -t tmpfs -o mode=755 run /new/run
mkdir /new/run/vm
cp /vm/* /new/run/vm/
mount -t devtmpfs dev /new/dev
umount /dev
mount --move /sys /new/sys
mount --move /proc /new/proc
exec switch_root /new /bin/sh /run/vm/guest.sh
