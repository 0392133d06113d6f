/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of a ring: that it runs when its state says so, whatever the order of messages, and
 * what each message does to one that runs.
 */
#include "rig.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fdio.h"
#include "virtqueue/virtqueue.h"

#define PERMUTATIONS 720

static void play(const char *name, const struct rig_step *steps, bool running)
{
	unsigned before = rig_fd_cnt();
	struct rig rig;

	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, name, rig_hello);
	if (running)
		rig_play(&rig, name, rig_ring0_running);
	rig_play(&rig, name, steps);
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
}

/* The six things that a ring needs, in every order: it starts with the last, and not before. */
static void test_any_order(void **state)
{
	static const struct rig_step needs[] = {
		ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), .any_calls = true),
		ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), .any_calls = true),
		ASK(SET_VRING_NUM, STATE(2, 128), .any_calls = true),
		ASK(SET_VRING_ADDR, RING_IN(2, 0), .any_calls = true),
		ASK(SET_VRING_KICK, U64(2), FDS(FD_EVENT), .any_calls = true),
		ASK(SET_VRING_ENABLE, STATE(2, 1), .any_calls = true),
	};
	static const struct rig_step hello[] = {
		ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
		ACT(END),
	};

	(void)state;
	for (unsigned p = 0; p < PERMUTATIONS; p++) {
		unsigned left[6] = {0, 1, 2, 3, 4, 5};
		struct rig rig;
		unsigned code = p;

		rig_init(&rig, 4);
		rig_connect(&rig);
		rig_play(&rig, "any order", hello);
		for (unsigned n = 6; n > 0; n--) {
			unsigned pick = code % n;

			code /= n;
			assert_false(device_queue_running(rig.device, 2));
			rig_play_step(&rig, &needs[left[pick]]);
			left[pick] = left[n - 1];
		}
		assert_true(device_queue_running(rig.device, 2));
		assert_non_null(
			strstr(fake_device_calls(rig.device), "start 2 size 128 base 0x0 kick"));
		rig_fini(&rig);
	}
}

static const struct rig_step enable[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 1)), /* again */
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	ASK(SET_VRING_ENABLE, STATE(0, 0)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	REFUSED(SET_VRING_ENABLE, STATE(0, 2)),
	REFUSED(SET_VRING_ENABLE, STATE(0, 0xffffffff)),
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	/* disabled, it takes new values and does not start */
	ASK(SET_VRING_NUM, STATE(0, 64)),
	ASK(SET_VRING_BASE, STATE(0, 40)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0x100)),
	ASK(SET_VRING_CALL, U64(0x100)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 64 base 0x28")),
	/* a stopped ring remembers that it is enabled */
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 47), CALLS("stop 0")),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 64 base 0x2f exact kick")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 54), CALLS("stop 0")),
	/* and a change of that while it is stopped */
	ASK(SET_VRING_ENABLE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 64 base 0x36 exact kick")),
	ACT(END),
};

static void test_enable(void **state)
{
	(void)state;
	play("enable", enable, true);
}

static const struct rig_step while_running[] = {
	/* new values: stopped, and started with them where it was */
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT),
	    CALLS("stop 0; start 0 size 128 base 0x7 exact kick call")),
	ASK(SET_VRING_ADDR, RING_IN(0, 0),
	    CALLS("stop 0; start 0 size 128 base 0xe exact kick call")),
	ASK(SET_VRING_KICK, U64(0x100), CALLS("stop 0; start 0 size 128 base 0x15 exact call")),
	/* doorbells are replaced as it runs */
	ASK(SET_VRING_CALL, U64(0), FDS(FD_PIPE_WRITE), CALLS("call 0")),
	ASK(SET_VRING_CALL, U64(0x100), CALLS("call 0 none")),
	ASK(SET_VRING_ERR, U64(0), FDS(FD_EVENT), CALLS("err 0")),
	ASK(SET_VRING_ERR, U64(0x100), CALLS("err 0 none")),
	ASK(SET_VRING_ERR, U64(0), FDS(FD_EVENT), CALLS("err 0")),
	/* what is bad about the new values is said, and the old ones go on */
	REFUSED(SET_VRING_KICK, U64(0), FDS(FD_NULL),
		CALLS("stop 0; start 0 size 128 base 0x1c exact err")),
	REFUSED(SET_VRING_CALL, U64(0), FDS(FD_NULL)),
	ACT(END),
};

static void test_while_running(void **state)
{
	(void)state;
	play("while running", while_running, true);
}

static const struct rig_step descriptors[] = {
	ASK(SET_VRING_CALL, U64(3), FDS(FD_EVENT)), /* before everything else */
	ASK(SET_VRING_ERR, U64(3), FDS(FD_PIPE_WRITE)),
	ASK(SET_VRING_CALL, U64(3), FDS(FD_PIPE_READ)), /* a pipe is a pipe */
	REFUSED(SET_VRING_CALL, U64(3), FDS(FD_NULL)),
	REFUSED(SET_VRING_CALL, U64(3), FDS(FD_FILE)),
	REFUSED(SET_VRING_CALL, U64(3), FDS(FD_DATAGRAM)),
	REFUSED(SET_VRING_CALL, U64(3), FDS(FD_MEM)),
	ASK(SET_VRING_CALL, U64(3), FDS(FD_SOCKET)), /* User-Mode Linux calls it a pipe */
	REFUSED(SET_VRING_ERR, U64(3), FDS(FD_NULL)),
	REFUSED(SET_VRING_ERR, U64(3), FDS(FD_DATAGRAM)),
	REFUSED(SET_VRING_KICK, U64(3), FDS(FD_NULL)),
	REFUSED(SET_VRING_KICK, U64(3), FDS(FD_FILE)),
	REFUSED(SET_VRING_KICK, U64(3), FDS(FD_SOCKET)),
	REFUSED(SET_VRING_KICK, U64(3), FDS(FD_MEM)),
	ASK(SET_VRING_NUM, STATE(3, 128)),
	ASK(SET_VRING_ADDR, RING_IN(3, 0)),
	/* what was refused is no kick */
	ASK(SET_VRING_ENABLE, STATE(3, 1)),
	/* a pipe is polled instead of being filled up: no kick descriptor */
	ASK(SET_VRING_KICK, U64(3), FDS(FD_PIPE_READ), CALLS("start 3 size 128 base 0x0 call err")),
	ACT(END),
};

static void test_descriptors(void **state)
{
	(void)state;
	play("descriptors", descriptors, false);
}

static bool is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* What the device got leads to the front end's descriptors, and outlives the message's. */
static void test_doorbells_ring(void **state)
{
	static const struct rig_step change[] = {
		ASK(SET_VRING_CALL, U64(0), FDS(FD_PIPE_WRITE), CALLS("call 0")),
		ASK(SET_VRING_ERR, U64(0), FDS(FD_EVENT), CALLS("err 0")),
		ACT(END),
	};
	struct rig rig;
	uint64_t word;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "doorbells", rig_hello);
	rig_play(&rig, "doorbells", rig_ring0_running);
	assert_false(is_readable(rig.fds[FD_EVENT]));
	assert_int_equal(fdio_signal(fake_device_call_fd(rig.device, 0)), 0);
	assert_true(is_readable(rig.fds[FD_EVENT]));
	fdio_drain(rig.fds[FD_EVENT]);
	assert_int_equal(fdio_signal(rig.fds[FD_EVENT]), 0);
	assert_true(is_readable(fake_device_kick_fd(rig.device, 0)));
	fdio_drain(rig.fds[FD_EVENT]);
	rig_play(&rig, "doorbells", change);
	assert_int_equal(fdio_signal(fake_device_call_fd(rig.device, 0)), 0);
	assert_int_equal(read(rig.fds[FD_PIPE_READ], &word, sizeof(word)), sizeof(word));
	assert_int_equal(fdio_signal(fake_device_err_fd(rig.device, 0)), 0);
	assert_true(is_readable(rig.fds[FD_EVENT]));
	rig_fini(&rig);
}

static const struct rig_step values[] = {
	REFUSED(SET_VRING_NUM, STATE(0, 0)),
	REFUSED(SET_VRING_NUM, STATE(0, VIRTQUEUE_SIZE_MAX + 1)),
	REFUSED(SET_VRING_NUM, STATE(0, 65536)),
	REFUSED(SET_VRING_NUM, STATE(0, 65536 + 128)),
	REFUSED(SET_VRING_NUM, STATE(0, 0xffffffff)),
	{.request = VU_SET_VRING_ADDR,
	 .flags = NEED,
	 .payload = {.size = 40, .as.addr = {.idx = 0, .flags = 1, .desc_uva = DESC(0, 0)}},
	 .answer = ANSWER_NACK},
	ASK(SET_VRING_NUM, STATE(0, 100)), /* packed rings may have it: judged at the start */
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0x100)),
	REFUSED(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 100 base 0x0")),
	/* not tried again by what others say */
	ASK(SET_VRING_NUM, STATE(1, 128)),
	ASK(SET_VRING_ENABLE, STATE(1, 1)),
	/* but by what its own state says */
	REFUSED(SET_VRING_KICK, U64(0x100), CALLS("start 0 size 100 base 0x0")),
	ASK(SET_VRING_NUM, STATE(0, 128), CALLS("start 0 size 128 base 0x0")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7), CALLS("stop 0")),
	/* a split ring's base is 16 bits */
	ASK(SET_VRING_BASE, STATE(0, 0x10000)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	REFUSED(SET_VRING_KICK, U64(0x100)),
	ASK(SET_VRING_BASE, STATE(0, 0xffff), CALLS("start 0 size 128 base 0xffff")),
	ACT(END),
};

static void test_values(void **state)
{
	(void)state;
	play("values", values, false);
}

static const struct rig_step start_fails[] = {
	ASK(SET_VRING_NUM, STATE(1, 128)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_KICK, U64(1), FDS(FD_EVENT)),
	{.action = RIG_FAIL_START, .value = 12},
	REFUSED(SET_VRING_ENABLE, STATE(1, 1), CALLS("start 1 size 128 base 0x0 kick")),
	{.action = RIG_FAIL_START, .value = 12, .flags = 1},
	REFUSED(SET_VRING_ENABLE, STATE(1, 1), CALLS("start 1 size 128 base 0x0 kick")),
	ASK(SET_VRING_ENABLE, STATE(1, 1), CALLS("start 1 size 128 base 0x0 kick")),
	MSG(GET_VRING_BASE, STATE(1, 0), BASE_IS(1, 7), CALLS("stop 1")),
	/* outside of memory: is said, for nothing promises that it will come */
	ASK(SET_VRING_ADDR, RING_IN(1, 9)),
	REFUSED(SET_VRING_KICK, U64(1), FDS(FD_EVENT),
		CALLS("start 1 size 128 base 0x7 exact kick")),
	/* the neighbour never noticed; without an ack the front end hears it by the connection */
	MSG(SET_VRING_KICK, U64(1), FDS(FD_EVENT), REPLY(CLOSED, 0),
	    CALLS("start 1 size 128 base 0x7 exact kick; stop 0; memory none; reset")),
	ACT(END),
};

static void test_start_fails(void **state)
{
	(void)state;
	play("start fails", start_fails, true);
}

static const struct rig_step bases[] = {
	/* never set up */
	MSG(GET_VRING_BASE, STATE(3, 0), BASE_IS(3, 0)),
	MSG(GET_VRING_BASE, STATE(3, 0xffffffff), BASE_IS(3, 0)),
	ASK(SET_VRING_BASE, STATE(2, 77)),
	MSG(GET_VRING_BASE, STATE(2, 0), BASE_IS(2, 77)),
	/* started, stopped: the device's */
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7), CALLS("stop 0")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7)),
	/* what we answered is exact when it comes back, also late */
	ASK(SET_VRING_BASE, STATE(0, 9)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0x100), CALLS("start 0 size 128 base 0x9")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 16), CALLS("stop 0")),
	ASK(SET_VRING_BASE, STATE(0, 3)),
	ASK(SET_VRING_BASE, STATE(0, 16)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0x100), CALLS("start 0 size 128 base 0x10 exact")),
	ACT(END),
};

static void test_bases(void **state)
{
	(void)state;
	play("bases", bases, true);
}

/* A ring that the device could not keep: its base is the device's, and it starts when told. */
static const struct rig_step lost[] = {
	ACT(LOSE),
	ASK(SET_VRING_NUM, STATE(1, 128)),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 128 base 0x7 exact kick")),
	/* or without that question, by a change of its own */
	ACT(LOSE),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 128 base 0xe exact kick")),
	ACT(END),
};

static void test_lost(void **state)
{
	(void)state;
	play("lost", lost, true);
}

static const struct rig_step packed_bases[] = {
	ASK(SET_FEATURES, U64(F_V1 | F_PACKED | F_PROTOCOL), CALLS("features 0x500000000")),
	MSG(GET_VRING_BASE, STATE(3, 0), BASE_IS(3, 0x80008000)),
	ASK(SET_VRING_BASE, STATE(3, 0)), /* 0, said blindly, is a fresh ring */
	MSG(GET_VRING_BASE, STATE(3, 0), BASE_IS(3, 0)),
	ASK(SET_VRING_BASE, STATE(3, 0)),
	ASK(SET_VRING_NUM, STATE(3, 100)),
	ASK(SET_VRING_ADDR, RING_IN(3, 0)),
	ASK(SET_VRING_ENABLE, STATE(3, 1)),
	ASK(SET_VRING_KICK, U64(0x103), CALLS("start 3 size 100 base 0x0")),
	/* 0 that a ring of ours has come to is exact (0xfffffff9 + 7) */
	MSG(GET_VRING_BASE, STATE(3, 0), BASE_IS(3, 7), CALLS("stop 3")),
	ASK(SET_VRING_BASE, STATE(3, 0xfffffff9)),
	ASK(SET_VRING_ADDR, RING_IN(3, 0)),
	ASK(SET_VRING_KICK, U64(0x103), CALLS("start 3 size 100 base 0xfffffff9")),
	MSG(GET_VRING_BASE, STATE(3, 0), BASE_IS(3, 0), CALLS("stop 3")),
	ASK(SET_VRING_BASE, STATE(3, 0)),
	ASK(SET_VRING_ADDR, RING_IN(3, 0)),
	ASK(SET_VRING_KICK, U64(0x103), CALLS("start 3 size 100 base 0x0 exact")),
	/* no features, no format: 0 again */
	ASK(RESET_DEVICE, EMPTY, CALLS("stop 3; reset")),
	MSG(GET_VRING_BASE, STATE(2, 0), BASE_IS(2, 0)),
	ACT(END),
};

static void test_packed_bases(void **state)
{
	(void)state;
	play("packed bases", packed_bases, false);
}

static const struct rig_step resets[] = {
	ASK(SET_VRING_NUM, STATE(1, 128)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_ERR, U64(1), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(1, 1)),
	ASK(SET_VRING_KICK, U64(1), FDS(FD_EVENT), CALLS("start 1 size 128 base 0x0 kick err")),
	/* all rings are disabled */
	ASK(RESET_OWNER, EMPTY, CALLS("stop 0; stop 1")),
	ASK(SET_VRING_ENABLE, STATE(1, 1), CALLS("start 1 size 128 base 0x7 exact kick err")),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	ASK(SET_STATUS, U64(15)),
	/* all is forgotten but memory and protocol features */
	ASK(RESET_DEVICE, EMPTY, CALLS("stop 0; stop 1; reset")),
	GET(GET_STATUS, EMPTY, 0),
	ASK(SET_VRING_ENABLE, STATE(1, 1)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_KICK, U64(1), FDS(FD_EVENT)),
	ASK(SET_VRING_NUM, STATE(1, 128)),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL),
	    CALLS("features 0x100000000; start 1 size 128 base 0x0 kick err")),
	ASK(RESET_DEVICE, EMPTY, CALLS("stop 1; reset")),
	ASK(RESET_DEVICE, EMPTY, CALLS("reset")),
	/* rings that need no enabling */
	ASK(SET_FEATURES, U64(F_V1), CALLS("features 0x100000000")),
	ASK(SET_VRING_NUM, STATE(2, 128)),
	ASK(SET_VRING_ADDR, RING_IN(2, 0)),
	ASK(SET_VRING_KICK, U64(2), FDS(FD_EVENT), CALLS("start 2 size 128 base 0x0 kick")),
	{.action = RIG_LEAVE, CALLS("stop 2; memory none; reset")},
	ACT(END),
};

static void test_resets(void **state)
{
	(void)state;
	play("resets", resets, true);
}

/* 256 rings: the last index is one that a byte can say. */
static void test_last_ring(void **state)
{
	static const struct rig_step last[] = {
		ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
		GET(GET_QUEUE_NUM, EMPTY, 256),
		ASK(SET_FEATURES, U64(F_V1), CALLS("features 0x100000000")),
		ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
		ASK(SET_VRING_NUM, STATE(255, 128)),
		{.request = VU_SET_VRING_ADDR,
		 .flags = NEED,
		 .payload = {.size = 40,
			     .as.addr = {.idx = 255,
					 .desc_uva = UVA(0),
					 .avail_uva = UVA(0) + 0x1000,
					 .used_uva = UVA(0) + 0x2000}},
		 .answer = ANSWER_ACK},
		ASK(SET_VRING_KICK, U64(255), FDS(FD_EVENT),
		    CALLS("start 255 size 128 base 0x0 kick")),
		REFUSED(SET_VRING_NUM, STATE(256, 128)),
		REFUSED(SET_VRING_NUM, STATE(0x100ff, 128)),
		MSG(GET_VRING_BASE, STATE(255, 0), BASE_IS(255, 7), CALLS("stop 255")),
		ACT(END),
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 256);
	rig_connect(&rig);
	rig_play(&rig, "last ring", last);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_order),      cmocka_unit_test(test_enable),
		cmocka_unit_test(test_while_running),  cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_doorbells_ring), cmocka_unit_test(test_values),
		cmocka_unit_test(test_start_fails),    cmocka_unit_test(test_bases),
		cmocka_unit_test(test_packed_bases),   cmocka_unit_test(test_resets),
		cmocka_unit_test(test_last_ring),      cmocka_unit_test(test_lost),
	};

	return cmocka_run_group_tests_name("rings", tests, NULL, NULL);
}
