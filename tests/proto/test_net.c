/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network device adds to the protocol: its messages, and rings that run while they are
 * disabled.
 */
#include "rig.h"

#define PF_NET (PF_OFFERED | BIT(VU_PF_MTU) | BIT(VU_PF_RARP))

static const struct rig_step hello[] = {
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_NET),
	ASK(SET_PROTOCOL_FEATURES, U64(PF_NET)),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
	ACT(END),
};

static const struct rig_step ring0_running[] = {
	ASK(SET_VRING_NUM, STATE(0, 128)),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 128 base 0x0 kick call")),
	ACT(END),
};

static void play(const char *name, const struct rig_step *steps, bool running)
{
	unsigned before = rig_fd_cnt();
	struct rig rig;

	rig_init(&rig, 5);
	fake_device_be_net(rig.device);
	rig_connect(&rig);
	rig_play(&rig, name, hello);
	if (running)
		rig_play(&rig, name, ring0_running);
	rig_play(&rig, name, steps);
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
}

static const struct rig_step messages[] = {
	GET(GET_QUEUE_NUM, EMPTY, 2), /* pairs of five rings */
	ASK(NET_SET_MTU, U64(1500), CALLS("mtu 0x5dc")),
	REFUSED(NET_SET_MTU, U64(9001), CALLS("mtu 0x2329")),
	REFUSED(NET_SET_MTU, U64(UINT64_MAX), CALLS("mtu 0xffffffffffffffff")),
	MSG(NET_SET_MTU, U64(9001), CALLS("mtu 0x2329")), /* no reason to end a session */
	ASK(SEND_RARP, U64(0x563412005452), CALLS("rarp 0x563412005452")),
	REFUSED(SEND_RARP, EMPTY),
	REFUSED(NET_SET_MTU, STATE(0, 1), FDS(FD_EVENT)),
	ACT(END),
};

static void test_messages(void **state)
{
	(void)state;
	play("messages", messages, false);
	play("messages while a ring runs", messages, true);
}

static const struct rig_step not_negotiated[] = {
	ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	REFUSED(NET_SET_MTU, U64(1500)),
	REFUSED(SEND_RARP, U64(1)),
	REFUSED(SET_PROTOCOL_FEATURES, U64(PF_NET | BIT(VU_PF_LOG_SHMFD))),
	ACT(END),
};

static void test_not_negotiated(void **state)
{
	(void)state;
	play("not negotiated", not_negotiated, false);
}

/* A disk is not offered them. */
static void test_disk(void **state)
{
	static const struct rig_step steps[] = {
		REFUSED(SET_PROTOCOL_FEATURES, U64(PF_NET)),
		REFUSED(NET_SET_MTU, U64(1500)),
		REFUSED(SEND_RARP, U64(1)),
		GET(GET_QUEUE_NUM, EMPTY, 5),
		ACT(END),
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 5);
	rig_connect(&rig);
	rig_play(&rig, "disk", rig_hello);
	rig_play(&rig, "disk", steps);
	rig_fini(&rig);
}

/* The order of QEMU: everything but ENABLE; then pairs are enabled and disabled as it runs. */
static const struct rig_step enable[] = {
	ASK(SET_VRING_NUM, STATE(1, 128)),
	ASK(SET_VRING_BASE, STATE(1, 0)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_KICK, U64(1), FDS(FD_EVENT),
	    CALLS("start 1 size 128 base 0x0 disabled kick")),
	ASK(SET_VRING_CALL, U64(1), FDS(FD_EVENT), CALLS("call 1")),
	ASK(SET_VRING_ENABLE, STATE(1, 0)),
	ASK(SET_VRING_ENABLE, STATE(1, 1), CALLS("enable 1")),
	ASK(SET_VRING_ENABLE, STATE(1, 1)),
	ASK(SET_VRING_ENABLE, STATE(1, 0), CALLS("disable 1")),
	REFUSED(SET_VRING_ENABLE, STATE(1, 2)),
	ASK(SET_VRING_ENABLE, STATE(1, 1), CALLS("enable 1")),
	/* enabled, it is set up anew only after it was stopped */
	REFUSED(SET_VRING_NUM, STATE(1, 64)),
	REFUSED(SET_VRING_BASE, STATE(1, 0)),
	/* the same features again change nothing, whether enabled or not */
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL)),
	REFUSED(SET_FEATURES, U64(F_PROTOCOL)),
	ASK(SET_VRING_ENABLE, STATE(1, 0), CALLS("disable 1")),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
	MSG(GET_VRING_BASE, STATE(1, 0), BASE_IS(1, 7), CALLS("stop 1")),
	ASK(SET_VRING_ENABLE, STATE(1, 1)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_KICK, U64(1), FDS(FD_EVENT), CALLS("start 1 size 128 base 0x7 exact kick")),
	ACT(END),
};

static void test_enable(void **state)
{
	(void)state;
	play("enable", enable, false);
}

/* New memory with the ring in it, or not, is no other than for an enabled one. */
static const struct rig_step memory[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	ASK(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 1), CALLS("memory 2")),
	ASK(SET_MEM_TABLE, TABLE1(1), FDS(FD_MEM + 1), CALLS("stop 0; memory 1")),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM),
	    CALLS("memory 1; start 0 size 128 base 0x7 exact disabled kick call")),
	ACT(END),
};

static void test_memory(void **state)
{
	(void)state;
	play("memory", memory, true);
}

/*
 * User-Mode Linux: a driver goes with ENABLE 0 and GET_FEATURES alone. The next one sets the ring
 * up as if it had never run, and it must not run with a part of that.
 */
static const struct rig_step reprobe[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_PIPE_WRITE), CALLS("call 0")),
	ASK(SET_VRING_NUM, STATE(0, 64), CALLS("stop 0")),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT),
	    CALLS("start 0 size 64 base 0x0 disabled kick call")),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("enable 0")),
	ACT(END),
};

/* The same with other memory, other features, and BASE first. */
static const struct rig_step reprobe_other[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL | 2), CALLS("stop 0; features 0x100000002")),
	ASK(SET_MEM_TABLE, TABLE1(1), FDS(FD_MEM + 1), CALLS("memory 1")),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_NUM, STATE(0, 128)),
	ASK(SET_VRING_ADDR, RING_IN(0, 1)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	ACT(END),
};

/* A location alone: not before it is enabled. */
static const struct rig_step moved[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	ASK(SET_VRING_ADDR, RING_IN(0, 0), CALLS("stop 0")),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	ACT(END),
};

static void test_reprobe(void **state)
{
	(void)state;
	play("reprobe", reprobe, true);
	play("reprobe with other values", reprobe_other, true);
	play("moved", moved, true);
}

/* Front ends that do not know bit 30, and the message that disables all. */
static const struct rig_step all[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	ASK(SET_FEATURES, U64(F_V1), CALLS("features 0x100000000; enable 0")),
	ASK(RESET_OWNER, EMPTY, CALLS("stop 0")),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("disable 0")),
	ASK(RESET_DEVICE, EMPTY, CALLS("stop 0; reset")),
	ACT(END),
};

static void test_all(void **state)
{
	(void)state;
	play("all", all, true);
}

/* The answer to ENABLE 0 waits for the device. */
static const struct rig_step held[] = {
	ACT(HOLD),
	{.request = VU_SET_VRING_ENABLE,
	 .flags = NEED,
	 .payload = STATE(0, 0),
	 .calls = "disable 0"},
	{.action = RIG_RELEASE, .request = VU_SET_VRING_ENABLE, .answer = ANSWER_ACK},
	ACT(END),
};

static void test_held(void **state)
{
	(void)state;
	play("held", held, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages), cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_disk),     cmocka_unit_test(test_enable),
		cmocka_unit_test(test_memory),   cmocka_unit_test(test_reprobe),
		cmocka_unit_test(test_all),      cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
