// SPDX-License-Identifier: GPL-2.0-only
#include "mounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
		    from[3] >= '0' && from[3] <= '7') {
			*to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = 0;
}

/* 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw
 * id parent major:minor root point options [fields...] - type source superoptions */
static bool parse_line(char *line, struct mount_entry *entry)
{
	char *rest = line, *field;
	int index = 0;

	while ((field = strsep(&rest, " "))) {
		if (index == 0)
			entry->id = strtoull(field, NULL, 10);
		else if (index == 1)
			entry->parent = strtoull(field, NULL, 10);
		else if (index == 2 && sscanf(field, "%u:%u", &entry->major, &entry->minor) != 2)
			return false;
		else if (index == 4)
			entry->point = field;
		else if (index >= 6 && strcmp(field, "-") == 0)
			break;
		index++;
	}
	entry->type = rest ? strsep(&rest, " ") : NULL;
	if (!entry->type || !entry->point || entry->point[0] != '/')
		return false;
	unescape((char *)entry->point);
	return true;
}

int mounts_parse(struct mounts *mounts, char *text)
{
	size_t lines = 1;
	char *rest = text, *line;

	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	*mounts = (struct mounts){.text = text, .list = calloc(lines, sizeof(*mounts->list))};
	if (!mounts->list) {
		mounts_free(mounts);
		return -ENOMEM;
	}
	while ((line = strsep(&rest, "\n"))) {
		struct mount_entry entry = {0};
		if (parse_line(line, &entry))
			mounts->list[mounts->count++] = entry;
	}
	return 0;
}

void mounts_free(struct mounts *mounts)
{
	free(mounts->list);
	free(mounts->text);
	*mounts = (struct mounts){0};
}

bool path_is_below(const char *path, const char *folder)
{
	size_t length = strlen(folder);

	if (length == 1)
		return path[0] == '/' && path[1] != 0;
	return strncmp(path, folder, length) == 0 && path[length] == '/';
}

const struct mount_entry *mounts_by_id(const struct mounts *mounts, uint64_t id)
{
	for (size_t i = 0; i < mounts->count; i++)
		if (mounts->list[i].id == id)
			return &mounts->list[i];
	return NULL;
}

static bool is_child(const struct mounts *mounts, const struct mount_entry *entry, const struct mount_entry *parent)
{
	if (entry == parent)
		return false;
	if (parent)
		return entry->parent == parent->id;
	return entry->parent == entry->id || !mounts_by_id(mounts, entry->parent);
}

/* As a walk of the path does: of the mounts that sit on the current one, the first that is met. */
const struct mount_entry *mounts_find(const struct mounts *mounts, const char *path)
{
	const struct mount_entry *current = NULL;

	for (size_t steps = 0; steps <= mounts->count; steps++) {
		const struct mount_entry *next = NULL;
		for (size_t i = 0; i < mounts->count; i++) {
			const struct mount_entry *entry = &mounts->list[i];
			if (!is_child(mounts, entry, current) ||
			    (strcmp(entry->point, path) != 0 && !path_is_below(path, entry->point)))
				continue;
			if (!next || strlen(entry->point) < strlen(next->point))
				next = entry;
		}
		if (!next)
			break;
		current = next;
	}
	return current;
}

bool mounts_share(const struct mount_entry *first, const struct mount_entry *second)
{
	if (!first || !second)
		return first == second;
	return first->major == second->major && first->minor == second->minor;
}

static bool type_is_any(const struct mount_entry *mount, const char *const *types)
{
	for (; mount && *types; types++)
		if (strcmp(mount->type, *types) == 0)
			return true;
	return false;
}

bool mount_is_remote(const struct mount_entry *mount)
{
	static const char *const types[] = {"nfs",    "nfs4", "cifs", "smb3", "smbfs",  "fuse",  "fuseblk", "virtiofs",
					    "autofs", "9p",   "ceph", "afs",  "lustre", "ncpfs", "coda",    NULL};

	return type_is_any(mount, types) || (mount && strncmp(mount->type, "fuse.", 5) == 0);
}

bool mount_is_kernel(const struct mount_entry *mount)
{
	static const char *const types[] = {"proc",     "sysfs",      "cgroup",    "cgroup2", "devpts",      "debugfs",
					    "tracefs",  "securityfs", "bpf",       "pstore",  "mqueue",      "configfs",
					    "efivarfs", "fusectl",    "selinuxfs", "nsfs",    "binfmt_misc", NULL};

	return type_is_any(mount, types);
}
