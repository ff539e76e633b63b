/* SPDX-License-Identifier: GPL-2.0-only */
/* The folder of the definitions: which files of it the engine loads, and whether they are still the same. */
#ifndef MAILWARD_DEFINITIONS_H
#define MAILWARD_DEFINITIONS_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

/* One more whenever a file may be judged otherwise by this program alone, with the same definitions: what an older one
 * called clean, and has been kept, is void then. */
#define JUDGING 2

struct definitions {
	unsigned files;       /* that libclamav takes for databases; 0: none */
	uint64_t identity;    /* of their names, sizes and times, which of them can be read, the engine's version, the
				 settings that change verdicts and JUDGING; never 0 where there are files */
	uint64_t newest_ns;   /* CLOCK_REALTIME of the newest file's change */
	uint64_t bytes;       /* of all files */
	char unreadable[256]; /* the first one that we may not read; empty: there is none */
	char irregular[256];  /* the first one that is no regular file: libclamav would read it without end */
	unsigned listed;      /* of the files, those in `list`: the first ones by name; name, size and time are set */
	struct definition_file list[DEFINITION_FILES_MAX];
};

/* directory is borrowed. 0, or -errno (the folder is gone or may not be read: then none). */
int definitions_look(int directory, const char *engine_version, const struct scanner_settings *settings,
		     struct definitions *out);

/* What verdicts are made with, in one number: these bytes, the engine and every setting that changes them. 0: it cannot
 * be made (no memory). */
uint64_t definitions_identity(const void *of, size_t size, const char *engine_version,
			      const struct scanner_settings *settings);

#endif
