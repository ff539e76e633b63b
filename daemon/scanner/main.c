// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine.h"
#include "loader.h"
#include "wire.h"

static bool started_by_keeper(const char *name)
{
	const char *slash = strrchr(name, '/');
	struct stat status;

	return !strcmp(slash ? slash + 1 : name, "mailward-loader") && fstat(FD_LEASH, &status) == 0 &&
	       S_ISSOCK(status.st_mode) && fstat(FD_OWN_DIR, &status) == 0 && S_ISDIR(status.st_mode);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("mailward-scanner %s (libclamav %s)\n", MAILWARD_VERSION, engine_version());
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--help")) {
		printf("mailward-scanner judges files for mailwardd, which starts it. It has no use of its own.\n"
		       "  --version   its version and libclamav's\n"
		       "  --help      this text\n"
		       "See mailwardd(8).\n");
		return 0;
	}
	if (argc == 1 && started_by_keeper(argv[0]))
		return loader_run();
	fprintf(stderr, "mailward-scanner: only mailwardd can start it (see --help)\n");
	return 2;
}
