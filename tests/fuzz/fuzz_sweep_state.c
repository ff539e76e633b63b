// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/sweep_state.c
/* Any bytes as the state of a sweep. What is taken can be written, and is the same when read again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sweep_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sweep_state state, again;
static char text[SWEEP_STATE_SIZE];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t length;

	if (!sweep_state_read((const char *)data, size, &state))
		return 0;
	if (state.kind >= SWEEP_KINDS || state.state >= SWEEP_STATES || state.root > state.root_count ||
	    state.root_count > SWEEP_ROOTS_MAX || state.depth > SWEEP_DEPTH_MAX || state.redo_count > SWEEP_REDO_MAX)
		abort();
	length = sweep_state_write(&state, text, sizeof(text));
	if (length == 0 || !sweep_state_read(text, length, &again) || memcmp(&state, &again, sizeof(state)) != 0)
		abort();
	return 0;
}
