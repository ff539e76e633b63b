// SPDX-License-Identifier: GPL-2.0-only
#include "folder.h"

#include <fcntl.h>
#include <sys/stat.h>

bool folder_is_same(int first, int second)
{
	const int flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;
	struct statx a, b;

	if (statx(first, "", flags, STATX_INO | STATX_MNT_ID, &a) < 0 ||
	    statx(second, "", flags, STATX_INO | STATX_MNT_ID, &b) < 0)
		return false;
	return a.stx_ino == b.stx_ino && a.stx_dev_major == b.stx_dev_major && a.stx_dev_minor == b.stx_dev_minor &&
	       a.stx_mnt_id == b.stx_mnt_id;
}
