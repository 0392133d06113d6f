/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages about guest memory: what is refused, what stays mapped, and what happens to rings that
 * run while it changes. Not mapping itself (tests/unit/guest).
 */
#include "rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* Mappings of the rig's memory files. */
static unsigned mapping_cnt(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	unsigned cnt = 0;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		cnt += strstr(line, "memfd:rig") != NULL;
	fclose(maps);
	return cnt;
}

static void play(const char *name, const struct rig_step *steps)
{
	unsigned before = rig_fd_cnt();
	struct rig rig;

	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, name, rig_hello);
	rig_play(&rig, name, steps);
	if (rig.front >= 0)
		assert_int_equal(mapping_cnt(), device_memory(rig.device)->row_cnt);
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
	assert_int_equal(mapping_cnt(), 0);
}

#define REGION_AT(g, n, u, o)                                                \
	{                                                                    \
		.gpa = (g), .bytes = (n), .uva = (u), .fd_offset_bytes = (o) \
	}
#define TABLE_OF(n, length, ...)                         \
	{                                                \
		.size = 8 + 32 * (length), .as.table = { \
			.region_cnt = (n),               \
			.region = {__VA_ARGS__}          \
		}                                        \
	}
#define REG_AT(g, n, u, o)                                               \
	{                                                                \
		.size = 40, .as.reg = {.region = REGION_AT(g, n, u, o) } \
	}
/* Macro arguments that hold commas. */
#define ONE_FIELD(n, length, g, b, u, o) TABLE_OF(n, length, REGION_AT(g, b, u, o))
#define TWO_AT(g1, u1, g2, u2) \
	TABLE_OF(2, 2, REGION_AT(g1, 0x2000, u1, 0), REGION_AT(g2, 0x2000, u2, 0))
#define EIGHT                                                                            \
	TABLE_OF(8, 8, REGION(0), REGION(1), REGION(2), REGION(3), REGION(4), REGION(5), \
		 REGION(6), REGION(7))
#define NINE_CLAIMED                                                                     \
	TABLE_OF(9, 8, REGION(0), REGION(1), REGION(2), REGION(3), REGION(4), REGION(5), \
		 REGION(6), REGION(7))
#define FDS_EIGHT                                                                           \
	FDS(FD_MEM, FD_MEM + 1, FD_MEM + 2, FD_MEM + 3, FD_MEM + 4, FD_MEM + 5, FD_MEM + 6, \
	    FD_MEM + 7)

static const struct rig_step tables[] = {
	ASK(SET_MEM_TABLE, EIGHT, FDS_EIGHT, CALLS("memory 8")),
	/* one descriptor more than a message has room for: which are they? */
	REFUSED(SET_MEM_TABLE, EIGHT,
		FDS(FD_MEM, FD_MEM + 1, FD_MEM + 2, FD_MEM + 3, FD_MEM + 4, FD_MEM + 5, FD_MEM + 6,
		    FD_MEM + 7, FD_MEM + 8)),
	/* counts that do not fit */
	REFUSED(SET_MEM_TABLE, NINE_CLAIMED, FDS_EIGHT),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(0xffffffff, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(2, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_MEM, FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_MEM, FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(0, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_MEM)),
	{.request = VU_SET_MEM_TABLE,
	 .flags = NEED,
	 .payload = {.size = 8 + 9 * 32, .as.u32 = {9}},
	 FDS_EIGHT,
	 .answer = ANSWER_NACK},
	/* regions that cannot be */
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0, UVA(0), 0), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, UINT64_MAX - 0xfff, 0x2000, UVA(0), 0), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x2000, UINT64_MAX - 0xfff, 0), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x2000, UVA(0), UINT64_MAX - 0xfff),
		FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x2000, UVA(0), INT64_MAX), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, 0, UINT64_MAX, 0, 0), FDS(FD_MEM)),
	/* files that are shorter, or not for this */
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x10001, UVA(0), 0), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0x10000), FDS(FD_MEM)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1001, UVA(0), 0), FDS(FD_SHORT)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_FILE)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_NULL)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_EVENT)),
	REFUSED(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1000, UVA(0), 0), FDS(FD_SOCKET)),
	/* overlaps, in either address */
	REFUSED(SET_MEM_TABLE, TWO_AT(GPA(0), UVA(0), GPA(0) + 0x1000, UVA(1)),
		FDS(FD_MEM, FD_MEM + 1)),
	REFUSED(SET_MEM_TABLE, TWO_AT(GPA(0), UVA(0), GPA(1), UVA(0) + 0x1fff),
		FDS(FD_MEM, FD_MEM + 1)),
	REFUSED(SET_MEM_TABLE, TABLE2(0, 0), FDS(FD_MEM, FD_MEM)),
	/* the second of two is bad: the first is not kept */
	REFUSED(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_NULL)),
	/* neighbours are none, nor is an offset that is no page's */
	ASK(SET_MEM_TABLE, TWO_AT(GPA(0), UVA(0), GPA(0) + 0x2000, UVA(0) + 0x2000),
	    FDS(FD_MEM, FD_MEM + 1), CALLS("memory 2")),
	ASK(SET_MEM_TABLE, ONE_FIELD(1, 1, GPA(0), 0x1001, UVA(0), 0x123), FDS(FD_MEM),
	    CALLS("memory 1")),
	/* no memory at all */
	ASK(SET_MEM_TABLE, ONE_FIELD(0, 0, 0, 0, 0, 0), CALLS("memory 0")),
	/* without an ack */
	MSG(SET_MEM_TABLE, TABLE1(0), FDS(FD_NULL), REPLY(CLOSED, 0), CALLS("memory none; reset")),
	ACT(END),
};

static void test_tables(void **state)
{
	(void)state;
	play("tables", tables);
}

static const struct rig_step single[] = {
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1), CALLS("memory 2")),
	/* twice the same is once, and another in the same place is refused */
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1)),
	REFUSED(ADD_MEM_REG, REG(1), FDS(FD_MEM + 2)),
	REFUSED(ADD_MEM_REG, REG_AT(GPA(2), 0x1000, UVA(1), 0), FDS(FD_MEM + 2)),
	REFUSED(ADD_MEM_REG, REG_AT(GPA(2), 0, UVA(2), 0), FDS(FD_MEM + 2)),
	REFUSED(ADD_MEM_REG, REG_AT(GPA(2), 0x1000, UVA(2), 0x10000), FDS(FD_MEM + 2)),
	REFUSED(ADD_MEM_REG, REG(2), FDS(FD_FILE)),
	/* told apart by gpa, uva and size, not by the offset; what is not there stays away */
	ASK(REM_MEM_REG, REG(2)),
	ASK(REM_MEM_REG, REG_AT(GPA(1), 0x1000, UVA(1), 0)),
	ASK(REM_MEM_REG, REG_AT(GPA(1), RIG_REGION_BYTES, UVA(0), 0)),
	ASK(REM_MEM_REG, REG_AT(GPA(0), RIG_REGION_BYTES, UVA(1), 0)),
	ASK(REM_MEM_REG, REG_AT(GPA(1), RIG_REGION_BYTES, UVA(1), 0x5000), CALLS("memory 1")),
	ASK(REM_MEM_REG, REG(1)),
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1), CALLS("memory 2")),
	/* old front ends send a descriptor with it: never looked at */
	ASK(REM_MEM_REG, REG(1), FDS(FD_NULL), CALLS("memory 1")),
	ASK(REM_MEM_REG, REG(0), CALLS("memory 0")),
	ASK(REM_MEM_REG, REG(0)),
	/* a region that is not there is not there afterwards either: no need to part */
	MSG(REM_MEM_REG, REG(0)),
	MSG(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 1")),
	MSG(ADD_MEM_REG, REG(0), FDS(FD_MEM)),
	MSG(ADD_MEM_REG, REG(0), FDS(FD_MEM + 1), REPLY(CLOSED, 0), CALLS("memory none; reset")),
	ACT(END),
};

static void test_single(void **state)
{
	(void)state;
	play("single regions", single);
}

/* Memory first by ADD_MEM_REG, without a table before it. */
static void test_add_first(void **state)
{
	static const struct rig_step steps[] = {
		ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
		ASK(REM_MEM_REG, REG(0)),
		ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), CALLS("memory 1")),
		ACT(END),
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 1);
	rig_connect(&rig);
	rig_play(&rig, "add first", steps);
	rig_fini(&rig);
}

/* As many as we say, and not one more. */
static void test_slots(void **state)
{
	struct rig_step add = ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM), .any_calls = true);
	struct rig rig;
	unsigned fds;

	(void)state;
	rig_init(&rig, 1);
	rig_connect(&rig);
	rig_play(&rig, "slots", rig_hello);
	fds = rig_fd_cnt();
	add.payload.as.reg.region.bytes = 0x1000;
	for (unsigned i = 1; i < 509; i++) {
		add.payload.as.reg.region.gpa = GPA(i);
		add.payload.as.reg.region.uva = UVA(i);
		rig_play_step(&rig, &add);
	}
	assert_int_equal(device_memory(rig.device)->row_cnt, 509);
	add.payload.as.reg.region.gpa = GPA(509);
	add.payload.as.reg.region.uva = UVA(509);
	add.answer = ANSWER_NACK;
	rig_play_step(&rig, &add);
	assert_int_equal(device_memory(rig.device)->row_cnt, 509);
	assert_int_equal(rig_fd_cnt(), fds);
	rig_fini(&rig);
}

/* What stays the same stays mapped where it was; what is another file is not the same. */
static void test_same_region(void **state)
{
	static const struct rig_step two[] = {
		ASK(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 1), .any_calls = true),
		ACT(END),
	};
	static const struct rig_step other_order[] = {
		ASK(SET_MEM_TABLE, TABLE2(1, 0), FDS(FD_MEM + 1, FD_MEM), .any_calls = true),
		ACT(END),
	};
	static const struct rig_step one_replaced[] = {
		ASK(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 2), .any_calls = true),
		ACT(END),
	};
	struct gmap_region *first, *second;
	struct rig rig;

	(void)state;
	rig_init(&rig, 1);
	rig_connect(&rig);
	rig_play(&rig, "same region", rig_hello);
	first = device_memory(rig.device)->regions[0];
	rig_play(&rig, "same region: two", two);
	assert_ptr_equal(device_memory(rig.device)->regions[0], first);
	second = device_memory(rig.device)->regions[1];
	rig_play(&rig, "same region: other order", other_order);
	assert_ptr_equal(device_memory(rig.device)->regions[0], first);
	assert_ptr_equal(device_memory(rig.device)->regions[1], second);
	rig_play(&rig, "same region: one replaced", one_replaced);
	assert_ptr_equal(device_memory(rig.device)->regions[0], first);
	/* A new file: what the test writes to it is seen there. */
	assert_int_equal(pwrite(rig.fds[FD_MEM + 2], "here", 4, 0), 4);
	assert_memory_equal(device_memory(rig.device)->rows[1].hva, "here", 4);
	rig_fini(&rig);
}

/* Ring 0 lives in region 0. */
static const struct rig_step under_rings[] = {
	/* it goes on in the new table, at the same place or another */
	ASK(SET_MEM_TABLE, TABLE2(0, 1), FDS(FD_MEM, FD_MEM + 1), CALLS("memory 2")),
	ASK(ADD_MEM_REG, REG(2), FDS(FD_MEM + 2), CALLS("memory 3")),
	ASK(REM_MEM_REG, REG(2), CALLS("memory 2")),
	ASK(SET_MEM_TABLE, TABLE2(0, 2), FDS(FD_MEM + 3, FD_MEM + 2), CALLS("memory 2")),
	/* a table that is refused changes nothing */
	REFUSED(SET_MEM_TABLE, TABLE2(0, 0), FDS(FD_MEM, FD_MEM)),
	REFUSED(ADD_MEM_REG, REG(0), FDS(FD_MEM)),
	/* the region under a ring goes and comes back: QEMU changes a region so */
	ASK(REM_MEM_REG, REG(0), CALLS("stop 0; memory 1")),
	ASK(ADD_MEM_REG, REG(1), FDS(FD_MEM + 1), CALLS("memory 2")),
	ASK(ADD_MEM_REG, REG(0), FDS(FD_MEM),
	    CALLS("memory 3; start 0 size 128 base 0x7 exact kick call")),
	ASK(SET_MEM_TABLE, TABLE1(1), FDS(FD_MEM + 1), CALLS("stop 0; memory 1")),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM),
	    CALLS("memory 1; start 0 size 128 base 0xe exact kick call")),
	/* all of it */
	ASK(SET_MEM_TABLE, ONE_FIELD(0, 0, 0, 0, 0, 0), CALLS("stop 0; memory 0")),
	ASK(SET_VRING_ENABLE, STATE(0, 0)),
	ASK(SET_VRING_ENABLE, STATE(0, 1)),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM),
	    CALLS("memory 1; start 0 size 128 base 0x15 exact kick call")),
	/* stopped by the front end meanwhile, it does not come back by itself */
	ASK(SET_MEM_TABLE, TABLE1(1), FDS(FD_MEM + 1), CALLS("stop 0; memory 1")),
	MSG(GET_VRING_BASE, STATE(0, 0), BASE_IS(0, 28)),
	ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_MEM), CALLS("memory 1")),
	ACT(END),
};

static void test_under_rings(void **state)
{
	struct rig rig;
	unsigned fds;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "under rings: hello", rig_hello);
	rig_play(&rig, "under rings: ring", rig_ring0_running);
	fds = rig_fd_cnt();
	rig_play(&rig, "under rings", under_rings);
	/* without those of the ring */
	assert_int_equal(rig_fd_cnt(), fds - 2);
	assert_int_equal(mapping_cnt(), 1);
	rig_fini(&rig);
	assert_int_equal(mapping_cnt(), 0);
}

/* The reply says that the old memory is free: it waits for the requests that use it. */
static void test_reply_waits(void **state)
{
	static const struct rig_step ask_held[] = {
		ACT(HOLD),
		MSG(SET_MEM_TABLE, TABLE2(0, 1), .flags = NEED, FDS(FD_MEM, FD_MEM + 1),
		    CALLS("memory 2")),
		ACT(END),
	};
	static const struct rig_step release[] = {
		{.action = RIG_RELEASE, .request = VU_SET_MEM_TABLE, .answer = ANSWER_ACK},
		ASK(REM_MEM_REG, REG(1), CALLS("memory 1")),
		ACT(END),
	};
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "reply waits: hello", rig_hello);
	rig_play(&rig, "reply waits: ring", rig_ring0_running);
	rig_play(&rig, "reply waits: held", ask_held);
	assert_int_equal(fake_device_held(rig.device), 1);
	rig_play(&rig, "reply waits: release", release);
	rig_fini(&rig);
}

/* Files of any kind, where the operator says so. */
static void test_any_memory(void **state)
{
	static const struct rig_step steps[] = {
		ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
		ASK(SET_MEM_TABLE, TABLE1(0), FDS(FD_FILE), CALLS("memory 1")),
		ASK(ADD_MEM_REG, REG(1), FDS(FD_FILE), CALLS("memory 2")),
		REFUSED(ADD_MEM_REG, REG(2), FDS(FD_NULL)),
		ACT(END),
	};
	struct vhost_user_options options = {.any_memory = true};
	struct err err = ERR_INIT;
	struct rig rig;
	int pair[2];

	(void)state;
	rig_init(&rig, 1);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig.front = pair[0];
	options.fd = pair[1];
	assert_int_equal(vhost_user_open(rig.loop, rig.device, &options, &rig.vu, &err), 0);
	rig_play(&rig, "any memory", steps);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),      cmocka_unit_test(test_single),
		cmocka_unit_test(test_add_first),   cmocka_unit_test(test_slots),
		cmocka_unit_test(test_same_region), cmocka_unit_test(test_under_rings),
		cmocka_unit_test(test_reply_waits), cmocka_unit_test(test_any_memory),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
