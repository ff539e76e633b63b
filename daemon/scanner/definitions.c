// SPDX-License-Identifier: GPL-2.0-only
#include "definitions.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 4096

struct entry {
	char name[256];
	uint64_t size, time_ns, readable, regular;
};

/* libclamav 1.4.6, readdb.h: CLI_DBEXT */
static bool is_database(const char *name)
{
	static const char *const endings[] = {".db",  ".hdb",  ".hdu",  ".fp",  ".mdb",  ".mdu", ".hsb", ".hsu",
					      ".sfp", ".msb",  ".msu",  ".ndb", ".ndu",  ".ldb", ".ldu", ".sdb",
					      ".zmd", ".rmd",  ".pdb",  ".gdb", ".wdb",  ".cbc", ".ftm", ".cfg",
					      ".cvd", ".cld",  ".cud",  ".cdb", ".cat",  ".crb", ".idb", ".ioc",
					      ".yar", ".yara", ".pwdb", ".ign", ".ign2", ".imp"};
	const char *dot = strrchr(name, '.');

	for (size_t i = 0; dot && dot != name && i < sizeof(endings) / sizeof(endings[0]); i++)
		if (!strcasecmp(dot, endings[i]))
			return true;
	return false;
}

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct entry *)left)->name, ((const struct entry *)right)->name);
}

static size_t entries_read(DIR *folder, struct entry *entries)
{
	size_t count = 0;
	struct dirent *found;
	struct stat status;

	while (count < FILES_MAX && (found = readdir(folder))) {
		if (!is_database(found->d_name) || fstatat(dirfd(folder), found->d_name, &status, 0) < 0)
			continue;
		struct entry *entry = &entries[count++];
		memset(entry, 0, sizeof(*entry));
		memcpy(entry->name, found->d_name, strnlen(found->d_name, sizeof(entry->name) - 1));
		entry->regular = S_ISREG(status.st_mode);
		entry->size = entry->regular ? (uint64_t)status.st_size : 0;
		entry->readable = faccessat(dirfd(folder), entry->name, R_OK, AT_EACCESS) == 0;
		entry->time_ns = (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec;
	}
	return count;
}

uint64_t definitions_identity(const void *of, size_t size, const char *engine_version,
			      const struct scanner_settings *settings)
{
	uint64_t limits[] = {settings->max_file_size,
			     settings->max_scan_size,
			     settings->max_files,
			     settings->max_depth,
			     settings->scan_time_ms,
			     settings->deny_types,
			     JUDGING};
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	uint64_t identity = 0;

	if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) && EVP_DigestUpdate(context, of, size) &&
	    EVP_DigestUpdate(context, limits, sizeof(limits)) &&
	    EVP_DigestUpdate(context, engine_version, strlen(engine_version)) &&
	    EVP_DigestFinal_ex(context, digest, NULL))
		memcpy(&identity, digest, sizeof(identity));
	EVP_MD_CTX_free(context);
	return identity;
}

static void entry_note(struct definitions *out, const struct entry *entry)
{
	struct definition_file *file;

	out->bytes += entry->size;
	if (!entry->regular && !out->irregular[0])
		memcpy(out->irregular, entry->name, sizeof(out->irregular));
	if (!entry->readable && !out->unreadable[0])
		memcpy(out->unreadable, entry->name, sizeof(out->unreadable));
	if (entry->time_ns > out->newest_ns)
		out->newest_ns = entry->time_ns;
	if (out->listed == DEFINITION_FILES_MAX)
		return;
	file = &out->list[out->listed++];
	memcpy(file->name, entry->name, strnlen(entry->name, sizeof(file->name) - 1));
	file->size = entry->size;
	file->time_ns = entry->time_ns;
}

int definitions_look(int directory, const char *engine_version, const struct scanner_settings *settings,
		     struct definitions *out)
{
	struct entry *entries;
	DIR *folder;
	size_t count;
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*out = (struct definitions){0};
	if (fd < 0)
		return -errno;
	folder = fdopendir(fd);
	entries = calloc(FILES_MAX, sizeof(*entries));
	if (!folder || !entries) {
		if (!folder)
			close(fd);
		else
			closedir(folder);
		free(entries);
		return -ENOMEM;
	}
	count = entries_read(folder, entries);
	closedir(folder);
	qsort(entries, count, sizeof(*entries), by_name);
	for (size_t i = 0; i < count; i++)
		entry_note(out, &entries[i]);
	out->files = (unsigned)count;
	if (count > 0) {
		out->identity = definitions_identity(entries, count * sizeof(*entries), engine_version, settings);
		if (out->identity == 0) {
			out->files = 0;
			free(entries);
			return -EIO;
		}
	}
	free(entries);
	return 0;
}
