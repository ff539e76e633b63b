// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/headers.c
/* A message's head is anybody's text: what comes out fits, and holds nothing but the characters that the header names.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char queue_id[QUEUE_ID_SIZE], message_id[MESSAGE_ID_SIZE];

	memset(queue_id, '\n', sizeof(queue_id));
	memset(message_id, '\n', sizeof(message_id));
	headers_read((const char *)data, size, queue_id, message_id);
	if (strnlen(queue_id, sizeof(queue_id)) == sizeof(queue_id) ||
	    strnlen(message_id, sizeof(message_id)) == sizeof(message_id))
		abort();
	for (const char *at = queue_id; *at; at++)
		if (!((*at >= '0' && *at <= '9') || (*at >= 'A' && *at <= 'Z') || (*at >= 'a' && *at <= 'z')))
			abort();
	for (const char *at = message_id; *at; at++)
		if (*at < 0x21 || *at > 0x7e)
			abort();
	return 0;
}
