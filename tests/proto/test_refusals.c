/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request with too little and too much of everything, in the wrong phase, not negotiated, and
 * requests that there are none of. After each refusal no descriptor is left over, and the session
 * is either closed or goes on.
 * Not what valid-looking messages say (test_rings.c, test_memory.c).
 */
#include "rig.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"

/* Said again here, apart from the back end's own table. */
struct rule {
	uint32_t request;
	uint32_t min, max; /* payload */
	unsigned fd_min, fd_max;
	bool own;    /* has a reply of its own */
	bool ends;   /* failing without an ack ends the session */
	int feature; /* protocol feature, -1 none */
};

static const struct rule rules[] = {
	{VU_GET_FEATURES, 0, 0, 0, 0, true, false, -1},
	{VU_SET_FEATURES, 8, 8, 0, 0, false, true, -1},
	{VU_SET_OWNER, 0, 0, 0, 0, false, true, -1},
	{VU_RESET_OWNER, 0, 0, 0, 0, false, true, -1},
	{VU_SET_MEM_TABLE, 8, 264, 0, 8, false, true, -1},
	{VU_SET_VRING_NUM, 8, 8, 0, 0, false, true, -1},
	{VU_SET_VRING_ADDR, 40, 40, 0, 0, false, true, -1},
	{VU_SET_VRING_BASE, 8, 8, 0, 0, false, true, -1},
	{VU_GET_VRING_BASE, 8, 8, 0, 0, true, false, -1},
	{VU_SET_VRING_KICK, 8, 8, 1, 1, false, true, -1},
	{VU_SET_VRING_CALL, 8, 8, 1, 1, false, true, -1},
	{VU_SET_VRING_ERR, 8, 8, 1, 1, false, true, -1},
	{VU_GET_PROTOCOL_FEATURES, 0, 0, 0, 0, true, false, -1},
	{VU_SET_PROTOCOL_FEATURES, 8, 8, 0, 0, false, true, -1},
	{VU_GET_QUEUE_NUM, 0, 0, 0, 0, true, false, -1},
	{VU_SET_VRING_ENABLE, 8, 8, 0, 0, false, true, -1},
	{VU_SET_BACKEND_REQ_FD, 0, 0, 1, 1, false, false, VU_PF_BACKEND_REQ},
	{VU_GET_CONFIG, 12, 268, 0, 0, true, false, VU_PF_CONFIG},
	{VU_SET_CONFIG, 12, 268, 0, 0, false, false, VU_PF_CONFIG},
	{VU_RESET_DEVICE, 0, 0, 0, 0, false, true, VU_PF_RESET_DEVICE},
	{VU_GET_MAX_MEM_SLOTS, 0, 0, 0, 0, true, false, VU_PF_CONFIGURE_MEM_SLOTS},
	{VU_ADD_MEM_REG, 40, 40, 1, 1, false, true, VU_PF_CONFIGURE_MEM_SLOTS},
	{VU_REM_MEM_REG, 40, 40, 0, 1, false, false, VU_PF_CONFIGURE_MEM_SLOTS},
	{VU_SET_STATUS, 8, 8, 0, 0, false, false, VU_PF_STATUS},
	{VU_GET_STATUS, 0, 0, 0, 0, true, false, VU_PF_STATUS},
};

/* Requests of features that are not offered: never the end of a session. */
static const struct rule unsupported[] = {
	{VU_SET_LOG_BASE, 16, 16, 1, 1, false, false, -1},
	{VU_SET_LOG_FD, 0, 0, 1, 1, false, false, -1},
	{VU_SEND_RARP, 8, 8, 0, 0, false, false, -1},
	{VU_NET_SET_MTU, 8, 8, 0, 0, false, false, -1},
	{VU_IOTLB_MSG, 32, 32, 0, 0, true, false, -1},
	{VU_SET_VRING_ENDIAN, 8, 8, 0, 0, false, false, -1},
	{VU_CREATE_CRYPTO_SESSION, 512, 512, 0, 0, true, false, -1},
	{VU_CLOSE_CRYPTO_SESSION, 8, 8, 0, 0, false, false, -1},
	{VU_POSTCOPY_ADVISE, 0, 0, 0, 0, true, false, -1},
	{VU_POSTCOPY_LISTEN, 0, 0, 0, 0, false, false, -1},
	{VU_POSTCOPY_END, 0, 0, 0, 0, true, false, -1},
	{VU_GET_INFLIGHT_FD, 24, 24, 0, 0, true, false, -1},
	{VU_SET_INFLIGHT_FD, 24, 24, 1, 1, false, false, -1},
	{VU_GPU_SET_SOCKET, 0, 0, 1, 1, false, false, -1},
	{VU_VRING_KICK, 8, 8, 0, 0, false, false, -1},
	{VU_GET_SHARED_OBJECT, 16, 16, 0, 0, true, false, -1},
	{VU_SET_DEVICE_STATE_FD, 8, 8, 1, 1, true, false, -1},
	{VU_CHECK_DEVICE_STATE, 0, 0, 0, 0, true, false, -1},
	{44 /* GET_SHMEM_CONFIG */, 0, 0, 0, 0, true, false, -1},
	{45 /* GET_VRING_BASE_SKIP_DRAIN */, 8, 8, 0, 0, true, false, -1},
};

static const uint32_t unknown[] = {0, 46, 47, 255, 0x10000, 0x7fffffff, 0x80000001, 0xffffffff};

static const struct rig_step still_there[] = {
	GET(GET_FEATURES, EMPTY, FAKE_DEVICE_FEATURES | F_PROTOCOL),
	ACT(END),
};

/*
 * One bad message on a session of its own, then the next message, if there can be one. negotiated:
 * protocol features beside REPLY_ACK.
 */
static void refuse(const char *name, const struct rule *rule, uint64_t negotiated, bool harmless,
		   uint32_t size, unsigned fd_cnt, bool need)
{
	const struct rig_step hello[] = {
		MSG(SET_PROTOCOL_FEATURES, U64(negotiated | BIT(VU_PF_REPLY_ACK))),
		ACT(END),
	};
	struct rig_step bad = {
		.request = rule->request,
		.flags = need ? NEED : 0,
		.payload = {.size = size},
		.answer = rule->own                 ? ANSWER_EMPTY
			  : need                    ? ANSWER_NACK
			  : rule->ends && !harmless ? ANSWER_CLOSED
						    : ANSWER_NONE,
	};
	struct rig rig;
	unsigned fds;
	uint64_t refused;

	for (unsigned i = 0; i < fd_cnt; i++)
		bad.fds[i] = FD_EVENT;
	if (bad.answer == ANSWER_CLOSED)
		bad.calls = "memory none; reset";
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, name, hello);
	fds = rig_fd_cnt();
	rig_play_step(&rig, &bad);
	refused = vhost_user_stats(rig.vu)->messages_refused;
	if (refused != 1)
		rig_fail(&rig, "request %u, %u bytes, %u fds: %u refused", rule->request, size,
			 fd_cnt, (unsigned)refused);
	/* The connection is two descriptors. */
	if (rig_fd_cnt() + (rig.front < 0 ? 2 : 0) != fds)
		rig_fail(&rig, "request %u, %u bytes, %u fds: %u descriptors, were %u",
			 rule->request, size, fd_cnt, rig_fd_cnt(), fds);
	assert_int_equal(vhost_user_stats(rig.vu)->session_errors, rig.front < 0);
	if (rig.front >= 0)
		rig_play(&rig, name, still_there);
	rig_fini(&rig);
}

static void test_payload_size(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		for (unsigned need = 0; need < 2; need++) {
			if (r->min) {
				refuse("too short", r, PF_OFFERED, false, r->min - 1, r->fd_min,
				       need);
				refuse("no payload", r, PF_OFFERED, false, 0, r->fd_min, need);
			}
			refuse("too long", r, PF_OFFERED, false, r->max + 1, r->fd_min, need);
			refuse("far too long", r, PF_OFFERED, false, 500, r->fd_min, need);
		}
	}
}

static void test_fd_cnt(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		for (unsigned need = 0; need < 2; need++) {
			if (r->fd_min)
				refuse("too few", r, PF_OFFERED, false, r->min, r->fd_min - 1,
				       need);
			refuse("too many", r, PF_OFFERED, false, r->min, r->fd_max + 1, need);
			/* More than a message has room for. */
			refuse("far too many", r, PF_OFFERED, false, r->min, 10, need);
		}
	}
}

static void test_not_negotiated(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		for (unsigned need = 0; r->feature >= 0 && need < 2; need++)
			refuse("not negotiated", r, PF_OFFERED & ~BIT(r->feature), true, r->min,
			       r->fd_min, need);
	}
}

static void test_unsupported(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		const struct rule *r = &unsupported[i];

		for (unsigned need = 0; need < 2; need++) {
			refuse("unsupported", r, PF_OFFERED, true, r->min, r->fd_min, need);
			refuse("unsupported, with more", r, PF_OFFERED, true, 300, 9, need);
		}
	}
}

static void test_unknown(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		const struct rule rule = {.request = unknown[i], .feature = -1};

		for (unsigned need = 0; need < 2; need++) {
			refuse("unknown", &rule, PF_OFFERED, true, 0, 0, need);
			refuse("unknown, with more", &rule, PF_OFFERED, true, 512, 4, need);
		}
	}
}

/* need_reply means nothing before REPLY_ACK is negotiated. */
static const struct rig_step no_ack_without_the_feature[] = {
	MSG(SET_OWNER, EMPTY, .flags = NEED),
	MSG(SET_PROTOCOL_FEATURES, U64(BIT(VU_PF_CONFIG)), .flags = NEED),
	{.request = 46, .flags = NEED},
	MSG(SET_CONFIG, CONFIG(0, 1, 1), .flags = NEED),
	ASK(SET_PROTOCOL_FEATURES, U64(BIT(VU_PF_REPLY_ACK))),
	{.request = 46, .flags = NEED, .answer = ANSWER_NACK},
	/* unknown bits of the flags are nobody's business */
	MSG(SET_OWNER, EMPTY, .flags = 0xfffffff0),
	MSG(SET_OWNER, EMPTY, .flags = 0xfffffff8, .answer = ANSWER_ACK),
	ACT(END),
};

static void test_no_ack_without_the_feature(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "no ack without the feature", no_ack_without_the_feature);
	rig_fini(&rig);
}

static void drop_bytes(const char *name, const struct vu_header *header, bool want_closed)
{
	enum rig_fd fds[] = {FD_EVENT, FD_EVENT};
	unsigned before = rig_fd_cnt();
	struct vu_header got;
	struct rig rig;
	char byte;

	rig_init(&rig, 4);
	rig_connect(&rig);
	rig.where = name;
	rig_send(&rig, header, sizeof(*header), fds, 2);
	if (want_closed) {
		assert_false(rig_receive(&rig, &got, &byte, 0));
		assert_int_equal(vhost_user_stats(rig.vu)->session_errors, 1);
		assert_int_equal(vhost_user_stats(rig.vu)->messages, 0);
	} else {
		rig_spin(&rig);
		assert_true(rig_silent(&rig));
	}
	rig_fini(&rig);
	assert_int_equal(rig_fd_cnt(), before);
}

static void test_framing(void **state)
{
	(void)state;
	for (uint32_t flags = 0; flags < 16; flags++) {
		struct vu_header h = {.request = VU_SET_OWNER, .flags = flags};

		if ((flags & 7) != 1)
			drop_bytes("flags", &h, true);
	}
	for (unsigned i = 0; i < 6; i++) {
		static const uint32_t sizes[] = {2049,       4096,       65536,
						 0x7fffffff, 0x80000000, 0xffffffff};
		struct vu_header h = {
			.request = i & 1 ? VU_GET_FEATURES : 99, .flags = 1, .size = sizes[i]};

		drop_bytes("size", &h, true);
	}
	drop_bytes("longest allowed", &(struct vu_header){.request = 99, .flags = 1, .size = 2048},
		   false);
}

static void test_ring_index(void **state)
{
	static const uint32_t by_state[] = {VU_SET_VRING_NUM, VU_SET_VRING_ADDR, VU_SET_VRING_BASE,
					    VU_GET_VRING_BASE, VU_SET_VRING_ENABLE};
	static const uint32_t by_fd[] = {VU_SET_VRING_KICK, VU_SET_VRING_CALL, VU_SET_VRING_ERR};
	static const uint32_t ring[] = {4,          5,         127, 255, 256, 260, 0x100000000 - 4,
					0x80000000, 0xffffffff};
	static const uint64_t word[] = {4,
					255,
					0x104,
					0x1ff,
					0x200,
					0x203,
					0xffffffff,
					UINT64_C(1) << 32,
					UINT64_C(1) << 63,
					UINT64_MAX};
	struct rig rig;
	unsigned fds;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "ring index", rig_hello);
	fds = rig_fd_cnt();
	for (unsigned i = 0; i < 5 * 9; i++) {
		struct rig_step bad = {
			.request = by_state[i % 5],
			.flags = NEED,
			.payload = STATE(ring[i / 5], 1),
			.answer = by_state[i % 5] == VU_GET_VRING_BASE ? ANSWER_EMPTY : ANSWER_NACK,
		};

		if (bad.request == VU_SET_VRING_ADDR)
			bad.payload.size = 40;
		rig_play_step(&rig, &bad);
	}
	for (unsigned i = 0; i < 3 * 10; i++) {
		struct rig_step bad = {
			.request = by_fd[i % 3],
			.flags = NEED,
			.payload = U64(word[i / 3]),
			.answer = ANSWER_NACK,
		};

		rig_play_step(&rig, &bad);
		bad.fds[0] = FD_EVENT;
		rig_play_step(&rig, &bad);
	}
	assert_int_equal(rig_fd_cnt(), fds);
	rig_fini(&rig);
}

static const struct rig_step wrong_phase[] = {
	REFUSED(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	REFUSED(SET_FEATURES, U64(F_V1 | 2 | F_PROTOCOL)),
	ASK(SET_FEATURES, U64(F_V1 | F_PROTOCOL)), /* the same again */
	REFUSED(SET_VRING_NUM, STATE(0, 64)),
	REFUSED(SET_VRING_BASE, STATE(0, 0)),
	ASK(SET_VRING_NUM, STATE(1, 64)),
	ASK(SET_VRING_BASE, STATE(1, 0)),
	MSG(SET_VRING_NUM, STATE(0, 64), REPLY(CLOSED, 0), CALLS("stop 0; memory none; reset")),
	ACT(END),
};

static void test_wrong_phase(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "wrong phase: hello", rig_hello);
	rig_play(&rig, "wrong phase: ring", rig_ring0_running);
	rig_play(&rig, "wrong phase", wrong_phase);
	rig_fini(&rig);
}

static const struct rig_step features[] = {
	ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	/* in-band notifications need what we do not offer */
	REFUSED(SET_PROTOCOL_FEATURES, U64(PF_OFFERED | BIT(VU_PF_INBAND_NOTIFICATIONS))),
	REFUSED(SET_PROTOCOL_FEATURES, U64(UINT64_MAX)),
	REFUSED(SET_FEATURES, U64(F_PACKED), CALLS("features 0x400000000")),
	REFUSED(SET_FEATURES, U64(F_V1 | BIT(VU_F_LOG_ALL)), CALLS("features 0x104000000")),
	REFUSED(SET_FEATURES, U64(BIT(63)), CALLS("features 0x8000000000000000")),
	ASK(SET_FEATURES, U64(F_V1), CALLS("features 0x100000000")),
	REFUSED(SET_STATUS, U64(256)),
	GET(GET_STATUS, EMPTY, 0),
	MSG(SET_PROTOCOL_FEATURES, U64(BIT(VU_PF_INBAND_NOTIFICATIONS)), REPLY(CLOSED, 0),
	    CALLS("memory none; reset")),
	ACT(END),
};

static void test_features(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "features", features);
	rig_fini(&rig);
}

static const struct rig_step config[] = {
	ASK(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
	MSG(GET_CONFIG, CONFIG(0, 0, 0), REPLY(CONFIG, 12)),
	MSG(GET_CONFIG, CONFIG(0, 256, 256), REPLY(CONFIG, 268)),
	MSG(GET_CONFIG, CONFIG(255, 1, 1), REPLY(CONFIG, 13)),
	MSG(GET_CONFIG, CONFIG(256, 0, 0), REPLY(CONFIG, 12)),
	MSG(GET_CONFIG, CONFIG(256, 1, 1), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(1, 256, 256), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0, 257, 256), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0xffffffff, 1, 1), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0xffffffff, 0xffffffff, 8), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(1, 0xffffffff, 8), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0, 8, 7), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0, 8, 0), REPLY(EMPTY, 0)),
	MSG(GET_CONFIG, CONFIG(0, 8, 9), REPLY(CONFIG, 21)),
	ASK(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 1), CALLS("write 32+1")),
	REFUSED(SET_CONFIG, CONFIG(0, 1, 1)),
	REFUSED(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 2, 2)),
	REFUSED(SET_CONFIG, CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 0)),
	REFUSED(SET_CONFIG, CONFIG(0xffffffff, 1, 1)),
	REFUSED(SET_CONFIG, CONFIG(0xffffffff, 0xffffffff, 200)),
	REFUSED(SET_CONFIG, CONFIG(250, 60, 60)),
	{.request = VU_SET_CONFIG,
	 .flags = NEED,
	 .payload = {.size = 13, .as.config = {.offset = 32, .size = 1, .flags = 2}},
	 .answer = ANSWER_NACK},
	/* the guest's doing: the session goes on without an ack too */
	MSG(SET_CONFIG, CONFIG(0, 1, 1)),
	MSG(GET_CONFIG, CONFIG(0, 60, 60), REPLY(CONFIG, 72)),
	ACT(END),
};

static void test_config(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "config", config);
	rig_fini(&rig);
}

/* What comes back is config space at that offset, and zeroes where there was only room. */
static void test_config_contents(void **state)
{
	static const struct rig_step hello[] = {
		MSG(SET_PROTOCOL_FEATURES, U64(PF_OFFERED)),
		ACT(END),
	};
	struct {
		struct vu_header header;
		struct vu_config config;
	} ask = {
		.header = {.request = VU_GET_CONFIG, .flags = 1, .size = 12 + 16},
		.config = {.offset = 5, .size = 10, .data = {[0 ... 255] = 0xee}},
	};
	struct vu_header header;
	struct vu_config got;
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "config contents", hello);
	rig_send(&rig, &ask, sizeof(ask.header) + ask.header.size, NULL, 0);
	assert_true(rig_receive(&rig, &header, &got, sizeof(got)));
	assert_int_equal(header.size, 28);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(got.data[i], i < 10 ? 5 + i : 0);
	rig_fini(&rig);
}

static const struct rig_step to_be_logged[] = {
	REFUSED(SET_VRING_NUM, STATE(1, 65536)),
	{.request = 77, .flags = NEED, .answer = ANSWER_NACK},
	REFUSED(SET_VRING_NUM, STATE(9, 128)),
	REFUSED(SET_FEATURES, U64(BIT(63)), CALLS("features 0x8000000000000000")),
	REFUSED(SET_VRING_NUM, STATE(1, 0)),
	REFUSED(SET_VRING_NUM, STATE(1, 32769)),
	REFUSED(SET_VRING_NUM, STATE(1, 32770)),
	MSG(SET_VRING_NUM, STATE(1, 0), REPLY(CLOSED, 0), CALLS("memory none; reset")),
	ACT(END),
};

/* Each refusal is a line with the device, the request and the values; a flood of them is not. */
static void test_log(void **state)
{
	static const char *const lines[] = {
		"warn  rig: SET_VRING_NUM refused: ring 1: size 65536, must be 1 to 32768\n",
		"warn  rig: request 77 refused: no such request\n",
		"warn  rig: SET_VRING_NUM refused: ring 9 does not exist, there are 4\n",
		"warn  rig: SET_FEATURES refused: 0x8000000000000000 was not offered\n",
	};
	static char text[8192];
	struct rig rig;
	int real, file = memfd_create("log", MFD_CLOEXEC);
	unsigned cnt = 0;

	(void)state;
	rig_init(&rig, 4);
	real = dup(STDERR_FILENO);
	assert_true(dup2(file, STDERR_FILENO) >= 0);
	log_set_level(LOG_LEVEL_INFO);
	rig_connect(&rig);
	rig_play(&rig, "log", rig_hello);
	rig_play(&rig, "log", to_be_logged);
	log_set_level(LOG_LEVEL_ERROR);
	assert_true(dup2(real, STDERR_FILENO) >= 0);
	assert_true(pread(file, text, sizeof(text) - 1, 0) > 0);
	for (unsigned i = 0; i < 4; i++) {
		if (!strstr(text, lines[i]))
			rig_fail(&rig, "\"%s\" is not in \"%s\"", lines[i], text);
	}
	/* Five in all, the connection among them; what is about the endpoint itself comes too. */
	for (const char *at = strstr(text, "refused"); at; at = strstr(at + 1, "refused"))
		cnt++;
	assert_int_equal(cnt, 4);
	close(real);
	close(file);
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_payload_size),
		cmocka_unit_test(test_fd_cnt),
		cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_unsupported),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_no_ack_without_the_feature),
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_ring_index),
		cmocka_unit_test(test_wrong_phase),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_config_contents),
		cmocka_unit_test(test_log),
	};

	return cmocka_run_group_tests_name("refusals", tests, NULL, NULL);
}
