// SPDX-License-Identifier: GPL-2.0-only
#include "sweep.h"

#include <stdbool.h>
#include <sys/fanotify.h>
#include <unistd.h>

#define RESCUE_READS 256 /* in one call, so that nobody who opens again and again holds it up */

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

static bool is_own(const struct gate_notes *notes, int32_t pid)
{
	for (uint32_t i = 0; i < PROCESSES_MAX; i++)
		if (pid > 0 && __atomic_load_n(&notes->own_pids[i], __ATOMIC_RELAXED) == pid)
			return true;
	return false;
}

static uint64_t rescue_some(int group, const struct gate_notes *notes, struct sweep_count *count, char *buffer,
			    ssize_t size)
{
	struct fanotify_event_metadata *event = (void *)buffer;
	uint64_t denied = 0;

	for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
		bool own = is_own(notes, event->pid);
		if (event->fd < 0)
			continue; /* the kernel has refused that one */
		if (answer(group, event->fd, own ? FAN_ALLOW : FAN_DENY) && !own) {
			count->answered[WATCHES_MAX][ANSWER_DENY]++;
			denied++;
		}
		close(event->fd);
	}
	return denied;
}

uint64_t sweep_rescue(int group, const struct gate_notes *notes, struct sweep_count *count)
{
	static char buffer[1024] __attribute__((aligned(8))); /* holds few, so that few descriptors are open at once */
	uint64_t denied = 0;
	ssize_t size;

	for (int i = 0; i < RESCUE_READS; i++) {
		size = read(group, buffer, sizeof(buffer));
		if (size <= 0)
			break;
		denied += rescue_some(group, notes, count, buffer, size);
	}
	return denied;
}
