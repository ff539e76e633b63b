// SPDX-License-Identifier: GPL-2.0-only
/* In place of a program: executes the one called `real` in its own folder, with `preload.so` from there loaded first.
 * mailwardd gives its children an environment of its own making. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char own[3072], path[4096];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

	(void)argc;
	if (length < 0)
		return 126;
	own[length] = 0;
	*strrchr(own, '/') = 0;
	snprintf(path, sizeof(path), "%s/preload.so", own);
	setenv("LD_PRELOAD", path, 1);
	snprintf(path, sizeof(path), "%s/real", own);
	execv(path, argv);
	return 127;
}
