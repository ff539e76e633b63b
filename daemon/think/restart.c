// SPDX-License-Identifier: GPL-2.0-only
#include "restart.h"

void restart_init(struct restart *restart)
{
	*restart = (struct restart){.delay_ns = RESTART_FIRST_NS};
}

void restart_started(struct restart *restart, uint64_t now, uint64_t limit_ns)
{
	restart_beat(restart, now);
	restart->limit_ns = limit_ns;
}

void restart_beat(struct restart *restart, uint64_t now)
{
	restart->beat_ns = now;
	restart->looked_ns = restart->starved_ns = 0;
}

void restart_succeeded(struct restart *restart)
{
	restart->delay_ns = RESTART_FIRST_NS;
	restart->failures = 0;
}

void restart_ended(struct restart *restart, uint64_t now)
{
	restart->failures++;
	restart->due_ns = now + restart->delay_ns;
	restart->delay_ns *= 2;
	if (restart->delay_ns > RESTART_LAST_NS)
		restart->delay_ns = RESTART_LAST_NS;
}

bool restart_stands_still(const struct restart *restart, uint64_t now)
{
	return now > restart->beat_ns && now - restart->beat_ns > restart->limit_ns;
}

uint64_t restart_looked(struct restart *restart, uint64_t now, bool runnable, uint64_t cpu_ns)
{
	uint64_t passed = now - restart->looked_ns, ran = cpu_ns - restart->cpu_ns, starved = 0;

	if (restart->looked_ns && restart->runnable && runnable && passed > ran)
		starved = passed - ran;
	restart->looked_ns = now;
	restart->runnable = runnable;
	restart->cpu_ns = cpu_ns;
	restart->starved_ns += starved;
	restart_forgive(restart, starved);
	return starved;
}

void restart_forgive(struct restart *restart, uint64_t pause_ns)
{
	restart->beat_ns += pause_ns;
}
