/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What known front ends say, in their order: QEMU's vhost-user-blk, User-Mode Linux, libblkio (over
 * rust-vmm's vhost crate), SPDK's initiator, and one from before protocol features.
 * Not their bytes: the payloads are the rig's.
 */
#include "rig.h"

#define F_GUEST (F_V1 | BIT(DEVICE_F_EVENT_IDX) | BIT(DEVICE_F_INDIRECT_DESC) | 0x7e)
/* QEMU 7.2 knows protocol features up to 15. */
#define PF_QEMU (PF_OFFERED & ~BIT(VU_PF_STATUS))
#define PF_UML (BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIG))
#define PF_BLKIO \
	(BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_CONFIG) | BIT(VU_PF_CONFIGURE_MEM_SLOTS))

static const struct rig_step qemu[] = {
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_OFFERED),
	MSG(SET_PROTOCOL_FEATURES, U64(PF_QEMU)),
	GET(GET_QUEUE_NUM, EMPTY, 4),
	GET(GET_MAX_MEM_SLOTS, EMPTY, 509),
	ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
	MSG(SET_OWNER, EMPTY),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(1), FDS(FD_EVENT)),
	MSG(GET_CONFIG, CONFIG(0, 60, 60), REPLY(CONFIG, 72)),
	/* the guest's driver is up */
	MSG(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 1")),
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1), CALLS("memory 2")),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 0)),
	MSG(SET_VRING_ADDR, RING_IN(0, 1)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_NUM, STATE(1, 128)),
	MSG(SET_VRING_BASE, STATE(1, 0)),
	MSG(SET_VRING_ADDR, RING_IN(1, 1)),
	MSG(SET_VRING_KICK, U64(1), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(1), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	ASK(SET_VRING_ENABLE, STATE(1, 1), CALLS("start 1 size 128 base 0x0 kick call")),
	/* the guest masks and unmasks an interrupt */
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT), CALLS("call 0")),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT), CALLS("call 0")),
	/* a DIMM is plugged in, and a region is split in two: taken away, then added */
	ASK(ADD_MEM_REG, REG(2), FDS(FD_MEM + 2), CALLS("memory 3")),
	ASK(REM_MEM_REG, REG(0), CALLS("memory 2")),
	ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 3")),
	/* the machine is paused */
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	ASK(SET_VRING_ENABLE, STATE(1, 0), CALLS("stop 1")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7)),
	MSG(GET_VRING_BASE, STATE(1, 0), BASE_IS(1, 7)),
	/* and goes on */
	MSG(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 7)),
	MSG(SET_VRING_ADDR, RING_IN(0, 1)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	ACT(END),
};

/* Newer QEMU speaks STATUS; on a pause it resets it, and nothing of that may touch features. */
static const struct rig_step qemu_status[] = {
	MSG(SET_STATUS, U64(0)), /* not negotiated: ignored */
	MSG(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	GET(GET_STATUS, EMPTY, 0),
	MSG(SET_STATUS, U64(3)),
	MSG(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	GET(GET_STATUS, EMPTY, 3),
	MSG(SET_STATUS, U64(11)),
	ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 1")),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 0)),
	MSG(SET_VRING_ADDR, RING_IN(0, 0)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	MSG(SET_STATUS, U64(15)),
	GET(GET_STATUS, EMPTY, 15),
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7)),
	MSG(SET_STATUS, U64(0)),
	MSG(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 7)),
	MSG(SET_VRING_ADDR, RING_IN(0, 0)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x7 exact kick call")),
	/* the guest's driver resets the device without more ado */
	MSG(SET_STATUS, U64(0), CALLS("stop 0")),
	ACT(END),
};

/* One or two regions, the message always as long as two; call and back-end channel are
 * "pipes" that its host side makes as UNIX stream sockets. */
#define UML_TABLE                                                                     \
	{                                                                             \
		.size = 8 + 64, .as.table = {.region_cnt = 1, .region = {REGION(0)} } \
	}

static const struct rig_step uml_probe[] = {
	MSG(SET_OWNER, EMPTY),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_OFFERED),
	/* need_reply is set from the message that negotiates it on */
	ASK(SET_PROTOCOL_FEATURES, U64(PF_UML)),
	ASK(SET_BACKEND_REQ_FD, EMPTY, FDS(FD_SOCKET)),
	MSG(GET_CONFIG, CONFIG(0, 8, 8), REPLY(CONFIG, 20)),
	ASK(SET_FEATURES, U64(F_V1 | F_PACKED | F_PROTOCOL), CALLS("features 0x500000000")),
	MSG(GET_CONFIG, CONFIG(0, 35, 35), REPLY(CONFIG, 47)),
	ASK(SET_MEM_TABLE, UML_TABLE, FDS(FD_MEM), CALLS("memory 1")),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_SOCKET)),
	ASK(SET_VRING_NUM, STATE(0, 256)),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 256 base 0x0 kick call")),
	ACT(END),
};

/* Teardown without GET_VRING_BASE, then a new probe on the ring that was never said to stop. */
static const struct rig_step uml_again[] = {
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL), CALLS("features 0x100000000")),
	ASK(SET_MEM_TABLE, UML_TABLE, FDS(FD_MEM), CALLS("memory 1")),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_SOCKET)),
	ASK(SET_VRING_NUM, STATE(0, 128)),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_ADDR, RING_IN(1, 0)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	ASK(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 1), CALLS("write 32+1")),
	ACT(END),
};

static const struct rig_step libblkio[] = {
	MSG(SET_OWNER, EMPTY),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_OFFERED),
	MSG(SET_PROTOCOL_FEATURES, U64(PF_BLKIO)),
	ASK(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	GET(GET_QUEUE_NUM, EMPTY, 4),
	MSG(GET_CONFIG, CONFIG(0, 60, 60), .flags = NEED, REPLY(CONFIG, 72)),
	GET(GET_MAX_MEM_SLOTS, EMPTY, 509),
	ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 1")),
	ASK(SET_VRING_NUM, STATE(0, 128)),
	ASK(SET_VRING_ADDR, RING_IN(0, 0)),
	ASK(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_KICK, U64(0), FDS(FD_EVENT)),
	ASK(SET_VRING_ENABLE, STATE(0, 1), CALLS("start 0 size 128 base 0x0 kick call")),
	/* fio's buffers */
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1), CALLS("memory 2")),
	ASK(ADD_MEM_REG, REG(2), FDS(FD_MEM + 2), CALLS("memory 3")),
	ASK(REM_MEM_REG, REG(1), CALLS("memory 2")),
	/* rust-vmm sent a descriptor with it once */
	ASK(REM_MEM_REG, REG(2), FDS(FD_MEM + 2), CALLS("memory 1")),
	ASK(SET_VRING_ENABLE, STATE(0, 0), CALLS("stop 0")),
	{.action = RIG_LEAVE, CALLS("memory none; reset")},
	ACT(END),
};

/* No acks; ENABLE once and long before the ring; 268 bytes of config space whatever is asked. */
static const struct rig_step spdk[] = {
	MSG(SET_OWNER, EMPTY),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	MSG(SET_FEATURES, U64(F_GUEST | F_PROTOCOL), CALLS("features 0x13000007e")),
	GET(GET_PROTOCOL_FEATURES, EMPTY, PF_OFFERED),
	MSG(SET_PROTOCOL_FEATURES, U64(BIT(VU_PF_MQ) | BIT(VU_PF_CONFIG))),
	MSG(GET_CONFIG, CONFIG(0, 256, 256), REPLY(CONFIG, 268)),
	MSG(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 256), CALLS("write 32+1")),
	MSG(SET_VRING_ENABLE, STATE(0, 1)),
	MSG(SET_VRING_ENABLE, STATE(1, 1)),
	GET(GET_QUEUE_NUM, EMPTY, 4),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_CALL, U64(1), FDS(FD_EVENT)),
	MSG(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 1), CALLS("memory 2")),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 0)),
	MSG(SET_VRING_ADDR, RING_IN(0, 0)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 128 base 0x0 kick call")),
	MSG(SET_VRING_NUM, STATE(1, 128)),
	MSG(SET_VRING_BASE, STATE(1, 0)),
	MSG(SET_VRING_ADDR, RING_IN(1, 0)),
	MSG(SET_VRING_KICK, U64(1), FDS(FD_EVENT), CALLS("start 1 size 128 base 0x0 kick call")),
	/* reset: queues stop, then the same memory is said again */
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 7), CALLS("stop 0")),
	MSG(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 1), CALLS("memory 2")),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	MSG(GET_VRING_BASE, STATE(1, 0), BASE_IS(1, 7), CALLS("stop 1")),
	MSG(GET_VRING_BASE, STATE(2, 0), BASE_IS(2, 0)),
	/* started again without a second ENABLE */
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT)),
	MSG(SET_VRING_NUM, STATE(0, 64)),
	MSG(SET_VRING_BASE, STATE(0, 0)),
	MSG(SET_VRING_ADDR, RING_IN(0, 0)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 64 base 0x0 kick call")),
	ACT(END),
};

/* Bit 30 is not acknowledged: rings are enabled by that. */
static const struct rig_step before_protocol_features[] = {
	MSG(SET_OWNER, EMPTY),
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	MSG(SET_FEATURES, U64(0x7e), CALLS("features 0x7e")),
	MSG(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
	MSG(SET_VRING_NUM, STATE(0, 128)),
	MSG(SET_VRING_BASE, STATE(0, 3)),
	MSG(SET_VRING_ADDR, RING_IN(0, 0)),
	MSG(SET_VRING_KICK, U64(0), FDS(FD_EVENT), CALLS("start 0 size 128 base 0x3 kick")),
	MSG(SET_VRING_CALL, U64(0), FDS(FD_EVENT), CALLS("call 0")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 10), CALLS("stop 0")),
	ACT(END),
};

static void play(const char *name, const struct rig_step *first, const struct rig_step *second)
{
	unsigned before = rig_fd_cnt();
	struct rig rig;

	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, name, first);
	if (second)
		rig_play(&rig, name, second);
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
}

static void test_qemu(void **state)
{
	(void)state;
	play("qemu", qemu, NULL);
}

static void test_qemu_status(void **state)
{
	(void)state;
	play("qemu with STATUS", qemu_status, NULL);
}

static void test_uml(void **state)
{
	(void)state;
	play("uml probe", uml_probe, NULL);
}

static void test_uml_again(void **state)
{
	(void)state;
	play("uml probe again", uml_probe, uml_again);
}

static void test_libblkio(void **state)
{
	(void)state;
	play("libblkio", libblkio, NULL);
}

static void test_spdk(void **state)
{
	(void)state;
	play("spdk", spdk, NULL);
}

static void test_before_protocol_features(void **state)
{
	(void)state;
	play("before protocol features", before_protocol_features, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qemu),
		cmocka_unit_test(test_qemu_status),
		cmocka_unit_test(test_uml),
		cmocka_unit_test(test_uml_again),
		cmocka_unit_test(test_libblkio),
		cmocka_unit_test(test_spdk),
		cmocka_unit_test(test_before_protocol_features),
	};

	return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
