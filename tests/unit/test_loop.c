// SPDX-License-Identifier: GPL-2.0-only
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

static struct loop loop;

struct bell {
	struct loop_handler handler;
	int fd, rung;
	uint32_t events;
	struct bell *removes; /* this one is taken off by the handler */
	struct bell *adds;
};

static void bell_ready(void *owner, uint32_t events)
{
	struct bell *bell = owner;
	uint64_t count;

	bell->rung++;
	bell->events = events;
	if (events & EPOLLIN)
		CU_ASSERT_EQUAL(read(bell->fd, &count, sizeof(count)), sizeof(count));
	if (bell->removes)
		loop_remove(&loop, &bell->removes->handler);
	if (bell->adds)
		CU_ASSERT_EQUAL(loop_add(&loop, &bell->adds->handler, bell->adds->fd, EPOLLIN), 0);
	bell->adds = NULL;
}

static void bell_make(struct bell *bell)
{
	*bell = (struct bell){.handler = {.ready = bell_ready, .owner = bell, .fd = -1},
			      .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	CU_ASSERT_TRUE_FATAL(bell->fd >= 0);
}

static void ring_bell(struct bell *bell)
{
	uint64_t one = 1;

	CU_ASSERT_EQUAL(write(bell->fd, &one, sizeof(one)), sizeof(one));
}

static void begin(struct bell *bells, int count)
{
	CU_ASSERT_EQUAL_FATAL(loop_open(&loop), 0);
	for (int i = 0; i < count; i++) {
		bell_make(&bells[i]);
		CU_ASSERT_EQUAL(loop_add(&loop, &bells[i].handler, bells[i].fd, EPOLLIN), 0);
		CU_ASSERT_EQUAL(bells[i].handler.fd, bells[i].fd);
	}
}

static void end(struct bell *bells, int count)
{
	for (int i = 0; i < count; i++) {
		loop_remove(&loop, &bells[i].handler);
		close(bells[i].fd);
	}
	loop_close(&loop);
}

static void only_what_is_ready_is_called(void)
{
	struct bell bells[3];

	begin(bells, 3);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	ring_bell(&bells[1]);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	CU_ASSERT_EQUAL(bells[0].rung, 0);
	CU_ASSERT_EQUAL(bells[1].rung, 1);
	CU_ASSERT_EQUAL(bells[1].events, EPOLLIN);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	end(bells, 3);
}

static void a_turn_waits_no_longer_than_told(void)
{
	struct bell bell;
	uint64_t before;

	begin(&bell, 1);
	before = now_ns();
	CU_ASSERT_EQUAL(loop_turn(&loop, 50), 0);
	CU_ASSERT_TRUE(now_ns() - before >= 49000000u);
	CU_ASSERT_TRUE(now_ns() - before < 5050000000u);
	end(&bell, 1);
}

/* Whichever of the two comes first takes the other one off: never are both called. */
static void a_handler_may_take_off_another_that_is_pending(void)
{
	struct bell bells[2];

	begin(bells, 2);
	bells[0].removes = &bells[1];
	bells[1].removes = &bells[0];
	ring_bell(&bells[0]);
	ring_bell(&bells[1]);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	CU_ASSERT_EQUAL(bells[0].rung + bells[1].rung, 1);
	CU_ASSERT_EQUAL(bells[bells[0].rung].handler.fd, -1);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	end(bells, 2);
}

static void a_handler_may_take_itself_off(void)
{
	struct bell bell;

	begin(&bell, 1);
	bell.removes = &bell;
	ring_bell(&bell);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	ring_bell(&bell);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	CU_ASSERT_EQUAL(bell.rung, 1);
	CU_ASSERT_EQUAL(bell.handler.fd, -1);
	end(&bell, 1);
}

static void a_handler_may_add_another(void)
{
	struct bell first, second;

	begin(&first, 1);
	bell_make(&second);
	ring_bell(&second);
	first.adds = &second;
	ring_bell(&first);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	CU_ASSERT_EQUAL(second.rung, 0);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	CU_ASSERT_EQUAL(second.rung, 1);
	loop_remove(&loop, &second.handler);
	close(second.fd);
	end(&first, 1);
}

static void taking_off_twice_or_what_was_never_on_is_harmless(void)
{
	struct bell bells[2];

	begin(bells, 1);
	bell_make(&bells[1]);
	loop_remove(&loop, &bells[1].handler);
	loop_remove(&loop, &bells[0].handler);
	loop_remove(&loop, &bells[0].handler);
	ring_bell(&bells[0]);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	end(bells, 2);
}

static void the_events_may_be_changed(void)
{
	struct bell bell;

	begin(&bell, 1);
	loop_change(&loop, &bell.handler, EPOLLOUT);
	CU_ASSERT_EQUAL(loop_turn(&loop, 1000), 1);
	CU_ASSERT_EQUAL(bell.events, EPOLLOUT);
	loop_change(&loop, &bell.handler, EPOLLIN);
	CU_ASSERT_EQUAL(loop_turn(&loop, 0), 0);
	end(&bell, 1);
}

static void more_than_a_batch_is_handled_in_several_turns(void)
{
	enum { COUNT = LOOP_BATCH + 10 };
	static struct bell bells[COUNT];
	int handled = 0, turns = 0;

	begin(bells, COUNT);
	for (int i = 0; i < COUNT; i++)
		ring_bell(&bells[i]);
	while (handled < COUNT && turns++ < 10)
		handled += loop_turn(&loop, 0);
	CU_ASSERT_EQUAL(handled, COUNT);
	CU_ASSERT_EQUAL(turns, 2);
	for (int i = 0; i < COUNT; i++)
		CU_ASSERT_EQUAL(bells[i].rung, 1);
	end(bells, COUNT);
}

static void a_descriptor_that_is_none_is_refused(void)
{
	struct bell bell;

	begin(&bell, 1);
	loop_remove(&loop, &bell.handler);
	CU_ASSERT_EQUAL(loop_add(&loop, &bell.handler, 9999, EPOLLIN), -EBADF);
	CU_ASSERT_EQUAL(bell.handler.fd, -1);
	end(&bell, 1);
}

static void the_clocks_run(void)
{
	uint64_t first = now_ns(), wall = wall_ns();

	usleep(2000);
	CU_ASSERT_TRUE(now_ns() - first >= 2000000u);
	CU_ASSERT_TRUE(wall > 1577836800ull * 1000000000u); /* after 2020 */
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("loop", NULL, NULL);
	CU_ADD_TEST(suite, only_what_is_ready_is_called);
	CU_ADD_TEST(suite, a_turn_waits_no_longer_than_told);
	CU_ADD_TEST(suite, a_handler_may_take_off_another_that_is_pending);
	CU_ADD_TEST(suite, a_handler_may_take_itself_off);
	CU_ADD_TEST(suite, a_handler_may_add_another);
	CU_ADD_TEST(suite, taking_off_twice_or_what_was_never_on_is_harmless);
	CU_ADD_TEST(suite, the_events_may_be_changed);
	CU_ADD_TEST(suite, more_than_a_batch_is_handled_in_several_turns);
	CU_ADD_TEST(suite, a_descriptor_that_is_none_is_refused);
	CU_ADD_TEST(suite, the_clocks_run);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failed = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
