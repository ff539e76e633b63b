// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/layers.c daemon/scanner/formats.c daemon/scanner/zips.c daemon/scanner/judge.c
// objects: daemon/scanner/claims.c daemon/scanner/kinds.c daemon/scanner/mime.c daemon/scanner/names.c
// objects: daemon/scanner/oddities.c
/* Any bytes as a layer of each type that libclamav names: nothing beyond them is read, whatever is noted can be
 * printed, and a layer about which something was noted is not clean. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "layers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void printable(const char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"CL_TYPE_ZIP",     "CL_TYPE_ZIPSFX",      "CL_TYPE_MSEXE", "CL_TYPE_7Z",
					    "CL_TYPE_MSOLE2",  "CL_TYPE_POSIX_TAR",   "CL_TYPE_BZ",    "CL_TYPE_GZ",
					    "CL_TYPE_MAIL",    "CL_TYPE_BINARY_DATA", "CL_TYPE_HTML",  "CL_TYPE_RAR",
					    "CL_TYPE_OLD_TAR", "CL_TYPE_TEXT_ASCII"};
	static struct layers layers;
	struct findings findings = {0};
	struct verdict verdict;
	unsigned char *bytes;
	char detail[160];

	if (size < 2)
		return 0;
	bytes = malloc(size - 1); /* in its exact size */
	memcpy(bytes, data + 1, size - 1);
	layers_open(&layers, &findings, false, (uint32_t)data[0] >> 4, 100);
	layers_begin(&layers, types[(data[0] & 15) % (sizeof(types) / sizeof(types[0]))], bytes, size - 1, NULL);
	layers_close(&layers);
	judge(&findings, &verdict, detail, sizeof(detail));
	printable(detail);
	printable(findings.unsupported);
	if (verdict.kind == VERDICT_CLEAN && (findings.unsupported[0] || findings.encrypted[0]))
		abort();
	free(bytes);
	return 0;
}
