// SPDX-License-Identifier: GPL-2.0-only
#include "policy_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static bool others_may_write(const struct stat *status)
{
	return (status->st_mode & S_IWOTH) || ((status->st_mode & S_IWGRP) && status->st_gid != 0);
}

/* Who may write the policy decides what is blocked, so that has to be root alone. */
static bool file_is_trusted(const char *name, const struct stat *status, struct complaints *complaints)
{
	if (!S_ISREG(status->st_mode)) {
		complain(complaints, false, name, 1, "is not a regular file: put the policy itself there");
		return false;
	}
	if (status->st_uid != 0 && status->st_uid != geteuid()) {
		complain(complaints, false, name, 1, "belongs to uid %u, who could change it: chown root it",
			 status->st_uid);
		return false;
	}
	if (others_may_write(status)) {
		complain(complaints, false, name, 1, "may be written by others than root: chmod go-w it");
		return false;
	}
	if (status->st_uid != 0)
		complain(complaints, true, name, 1,
			 "belongs to uid %u: mailwardd takes it from root only, chown root it", status->st_uid);
	if (status->st_size > (off_t)POLICY_FILE_BYTES) {
		complain(complaints, false, name, 1, "is larger than 1M: shorten it");
		return false;
	}
	return true;
}

/* All of an open file, terminated; NULL: errno. */
static char *read_all(int fd, size_t most, size_t *size_out)
{
	size_t room = 4096, used = 0;
	char *text = malloc(room), *more;
	ssize_t got = 1;

	while (text && got > 0) {
		if (room - used < 2) {
			more = realloc(text, room *= 2);
			if (!more)
				break;
			text = more;
		}
		got = read(fd, text + used, room - used - 1);
		if (got > 0)
			used += (size_t)got;
		if (got < 0 && errno == EINTR)
			got = 1;
		if (used > most) {
			errno = EFBIG;
			break;
		}
	}
	if (!text || got != 0) {
		free(text);
		return NULL;
	}
	text[used] = 0;
	*size_out = used;
	return text;
}

struct texts {
	struct policy_source sources[POLICY_FILES_MAX];
	size_t count;
};

static void texts_free(struct texts *texts)
{
	for (size_t i = 0; i < texts->count; i++) {
		free((char *)texts->sources[i].name);
		free((char *)texts->sources[i].text);
	}
}

static void texts_take(struct texts *texts, const char *name, int fd, struct complaints *complaints)
{
	struct policy_source *source = &texts->sources[texts->count];
	struct stat status;

	if (fstat(fd, &status) < 0) {
		complain(complaints, false, name, 1, "cannot be looked at: %s", strerror(errno));
		return;
	}
	if (!file_is_trusted(name, &status, complaints))
		return;
	source->text = read_all(fd, POLICY_FILE_BYTES, &source->size);
	if (!source->text) {
		complain(complaints, false, name, 1, "cannot be read: %s", strerror(errno));
		return;
	}
	source->name = strdup(name);
	if (!source->name)
		abort();
	texts->count++;
}

static void texts_add(struct texts *texts, const char *name, struct complaints *complaints)
{
	int fd;

	if (texts->count == POLICY_FILES_MAX) {
		complain(complaints, false, name, 1, "too many policy files: %d is the limit, join some",
			 POLICY_FILES_MAX);
		return;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		complain(complaints, false, name, 1,
			 "cannot be opened (%s): write the policy there, or name another file", strerror(errno));
		return;
	}
	texts_take(texts, name, fd, complaints);
	close(fd);
}

static int is_drop_in(const struct dirent *entry)
{
	size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* Not alphasort(3): its order depends on the locale. */
static int by_name(const struct dirent **first, const struct dirent **second)
{
	return strcmp((*first)->d_name, (*second)->d_name);
}

static void texts_add_drop_ins(struct texts *texts, const char *file, struct complaints *complaints)
{
	char folder[POLICY_PATH_SIZE + 2], name[POLICY_PATH_SIZE + 300];
	struct dirent **entries = NULL;
	struct stat status;
	int count;

	snprintf(folder, sizeof(folder), "%.*s.d", POLICY_PATH_SIZE - 1, file);
	if (stat(folder, &status) < 0) {
		if (errno != ENOENT)
			complain(complaints, false, folder, 1, "cannot be looked at: %s", strerror(errno));
		return;
	}
	if ((status.st_uid != 0 && status.st_uid != geteuid()) || others_may_write(&status)) {
		complain(complaints, false, folder, 1,
			 "is a folder that others than root may write: chown root and chmod go-w it");
		return;
	}
	count = scandir(folder, &entries, is_drop_in, by_name);
	if (count < 0)
		complain(complaints, false, folder, 1, "cannot be read: %s", strerror(errno));
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s/%s", folder, entries[i]->d_name);
		texts_add(texts, name, complaints);
		free(entries[i]);
	}
	free(entries);
}

/* ---- the host ---- */

static uint64_t number_in(const char *path)
{
	FILE *file = fopen(path, "re");
	uint64_t number = UINT64_MAX;

	if (file && fscanf(file, "%" SCNu64, &number) != 1)
		number = UINT64_MAX; /* "max" */
	if (file)
		fclose(file);
	return number;
}

/* The lowest memory.max from our cgroup to the top; without limits, or without cgroups, the memory of the host. */
static uint64_t host_memory(void)
{
	uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE), limit;
	char line[1024], path[1200], *group = NULL;
	FILE *file = fopen("/proc/self/cgroup", "re");

	while (file && !group && fgets(line, sizeof(line), file))
		if (strncmp(line, "0::/", 4) == 0)
			group = line + 3;
	if (file)
		fclose(file);
	if (group)
		group[strcspn(group, "\n")] = 0;
	while (group && *group) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
		limit = number_in(path);
		if (limit < memory)
			memory = limit;
		*strrchr(group, '/') = 0;
	}
	return memory;
}

bool policy_load(struct policy *policy, const char *file, struct complaints *complaints)
{
	struct texts texts = {0};
	size_t before = complaints->errors;
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	texts_add(&texts, file, complaints);
	if (complaints->errors == before)
		texts_add_drop_ins(&texts, file, complaints);
	if (complaints->errors == before)
		policy_parse(policy, texts.sources, texts.count, processors > 0 ? (unsigned)processors : 1,
			     host_memory(), complaints);
	texts_free(&texts);
	return complaints->errors == before;
}
