// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/oddities.c
/* Any bytes as a message: nothing beyond them is read, what is found lies in them, and the answer is the same again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "oddities.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size ? size : 1); /* in its exact size */
	const char *first, *again;
	unsigned parts, more;
	size_t start = 0;

	memcpy(text, data, size);
	first = message_left_out(text, size, &parts);
	if (message_begins(text, size, &start) && start >= size)
		abort();
	message_has_cr_alone(text, size);
	again = message_left_out(text, size, &more);
	if (first != again || parts != more || parts > size)
		abort();
	free(text);
	return 0;
}
