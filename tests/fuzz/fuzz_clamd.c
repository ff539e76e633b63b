// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/clamd.c
/* Whatever comes from the other side of clamd's socket: OK only where it is exactly that, names printable. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clamd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_printable(const char *text, size_t room)
{
	if (strnlen(text, room) == room)
		abort();
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[SIGNATURE_SIZE], version[128] = "";
	uint64_t built;
	enum clamd_answer answer = clamd_answer_read((const char *)data, size, name);

	check_printable(name, sizeof(name));
	if (answer == CLAMD_OK &&
	    (size < 10 || memcmp(data + size - 6, "]: OK", 6) != 0 || memcmp(data, "fd[", 3) != 0))
		abort();
	if (answer == CLAMD_FOUND && !name[0])
		abort();
	if (clamd_version_read((const char *)data, size, version, &built))
		check_printable(version, sizeof(version));
	clamd_holds_one((const char *)data, size);
	return 0;
}
