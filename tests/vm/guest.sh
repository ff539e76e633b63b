#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Process 1 of the virtual machine, below the host's root: mounts what a booted system has, runs /run/vm/command in the
# folder that it was started from, and carries its output (ttyS1, nothing else is ever written there) and its exit code out: as the
# last line VMRC=n, and by the debug-exit device, which also ends the machine.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
exec </dev/null >/dev/console 2>&1
. /run/vm/environment
# The overlay as `/` is right for most; mail hosts have a plain file system there. Then what mail is kept in lies on a fresh
# ext4, and the rest is seen through bind mounts.
if [ "$VM_ROOT" = ext4 ]; then
	truncate -s 512M /vm-image
	mkfs.ext4 -q -F /vm-image
	mkdir /vm-root
	mount -o loop /vm-image /vm-root
	cd /vm-root || exit
	mkdir proc sys dev run tmp mnt home srv old var
	for entry in /*; do
		name=${entry#/}
		if [ -L "$entry" ]; then
			cp -P "$entry" .
		elif [ -d "$entry" ] && [ ! -e "$name" ] && [ "$name" != vm-root ]; then
			mkdir "$name"
			mount --bind "$entry" "$name"
		fi
	done
	for entry in /var/*; do
		name=${entry#/}
		case $name in
		var/spool | var/mail | var/tmp) cp -a "$entry" var/ ;;
		*) [ -L "$entry" ] && cp -P "$entry" var/ || { mkdir "$name" && mount --bind "$entry" "$name"; } ;;
		esac
	done
	if [ ! -d "./$VM_FOLDER" ]; then
		mkdir -p "./$VM_FOLDER"
		mount --bind "$VM_FOLDER" "./$VM_FOLDER"
	fi
	for name in proc sys dev run; do
		mount --move /$name $name
	done
	pivot_root . old
	cd / || exit
	umount -l /old
	rmdir /old
	chmod 1777 /tmp
fi
mkdir -p /dev/pts /dev/shm
ln -sfn /proc/self/fd /dev/fd
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf -o mode=700 bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mkdir -p -m 1777 /run/lock
mkdir -p -m 755 /run/mount
# A clean clone may lie below /tmp or /mnt.
for folder in /tmp /mnt; do
	[ "$VM_ROOT" != ext4 ] || continue
	case $VM_FOLDER/ in $folder/*) ;; *) mount -t tmpfs -o mode=1777 "${folder#/}" $folder ;; esac
done
hostname mailward-vm
ip link set lo up 2>/dev/null || ifconfig lo up 2>/dev/null
[ ! -e /proc/sys/kernel/unprivileged_userns_clone ] || echo 1 >/proc/sys/kernel/unprivileged_userns_clone
ulimit -Hn 524288
stty -F /dev/ttyS1 raw -echo
mkfifo /run/vm/out
# Ends by itself at the last line: a daemon that the command left behind may hold the pipe open for ever.
mawk -W interactive '{ print } /VMRC=[0-9]+$/ { exit }' </run/vm/out >/dev/ttyS1 &
reader=$!
exec 3>/run/vm/out
echo VMSTART >&3
cd "$VM_FOLDER" && setsid -w /bin/sh /run/vm/command >&3 2>&1 3>&-
code=$?
dmesg | grep -E 'BUG:|WARNING:|Oops|general protection|INFO: task|rcu: INFO|KASAN|scheduling while atomic' | head -n 20 |
	sed 's/^/VMKERNEL /' >&3
echo "VMRC=$code" >&3
exec 3>&-
wait $reader
stty -F /dev/ttyS1 raw # waits until the line is empty
sync
[ $code -lt 128 ] || code=127
printf "\\$(printf %03o $code)" | dd of=/dev/port bs=1 seek=244 conv=notrunc 2>/dev/null
