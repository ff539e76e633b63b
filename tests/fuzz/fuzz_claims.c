// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/claims.c daemon/scanner/kinds.c daemon/scanner/mime.c daemon/scanner/names.c
/* The content rule reads hostile bytes as a message, as a file and as a name: what it says must be safe to print, and
 * must be of the kinds that were asked for. */
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "mime.h"
#include "names.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_name(void *owner, const char *name, size_t length)
{
	(void)owner;
	if (length == 0 || length > MIME_NAME_SIZE)
		abort();
	name_claims(name, length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct claims claims;
	char name[128], detail[96];
	uint32_t denied;

	if (size == 0)
		return 0;
	denied = data[0] & ((1u << DENY_TYPES) - 1);
	claims_open(&claims, denied);
	mime_looks_so((const char *)data + 1, size - 1);
	mime_names((const char *)data + 1, size - 1, on_name, NULL);
	claims_message(&claims, data + 1, size - 1);
	claims_content(&claims, data + 1, size - 1, NULL);
	claims_name(&claims, (const char *)data + 1, size - 1, data[0] & 0x80);
	if (claims.found & ~denied)
		abort();
	if (!claims_tell(&claims, name, sizeof(name), detail, sizeof(detail)))
		return 0;
	if (!denied || strncmp(name, CLAIM_PREFIX, strlen(CLAIM_PREFIX)) != 0 ||
	    strnlen(detail, sizeof(detail)) == sizeof(detail))
		abort();
	for (const char *at = detail; *at; at++)
		if (*at < 0x20 || *at > 0x7e)
			abort();
	return 0;
}
