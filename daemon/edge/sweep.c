// SPDX-License-Identifier: GPL-2.0-only
#include "sweep.h"

#include <stdbool.h>
#include <sys/fanotify.h>
#include <unistd.h>

/* Was there an access with this number? The kernel says ENOENT where there is none. */
static bool answer(int group, int number, uint32_t response)
{
	struct fanotify_response text = {.fd = number, .response = response};

	return write(group, &text, sizeof(text)) == (ssize_t)sizeof(text);
}

uint64_t sweep_answer(int group, struct gate_notes *notes, struct sweep_count *count)
{
	uint32_t numbers = notes->nofile < NOTES_MAX ? notes->nofile : NOTES_MAX;
	uint64_t answered = 0;

	for (uint32_t i = 0; i < numbers; i++) {
		uint8_t note = __atomic_load_n(&notes->notes[i].answer, __ATOMIC_ACQUIRE);
		if (note == NOTE_NONE)
			continue;
		bool allow = note == NOTE_ALLOW;
		unsigned watch = notes->notes[i].watch < WATCHES_MAX ? notes->notes[i].watch : WATCHES_MAX;
		if (answer(group, (int)i, allow ? FAN_ALLOW : FAN_DENY)) {
			count->answered[watch][allow ? ANSWER_ALLOW : ANSWER_DENY]++;
			answered++;
		}
		notes->notes[i] = (struct gate_note){0};
	}
	for (uint32_t i = 0; i < numbers; i++) {
		if (answer(group, (int)i, FAN_DENY)) {
			count->answered[WATCHES_MAX][ANSWER_DENY]++;
			answered++;
		}
	}
	return answered;
}
