// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/allowances.c daemon/think/allowed_text.c
/* The allow list's file: whatever it holds, what is taken from it is sound, and prints as itself. */
#include <stdlib.h>
#include <string.h>

#include "allowances.h"
#include "allowed_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct allowed_list list;
	static char text[ALLOWED_TEXT_MAX];
	char why[160];

	if (!allowed_parse((const char *)data, size, &list, why, sizeof(why))) {
		if (!why[0] || list.count)
			abort();
		return 0;
	}
	for (uint32_t i = 0; i < list.count; i++)
		if (!allowed_entry_is_sound(&list.records[i].entry))
			abort();
	if (allowed_print(&list, text, sizeof(text)) == 0)
		abort();
	return 0;
}
