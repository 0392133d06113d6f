/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session as a stream: pieces, bursts, peers that do not read or that leave, workers that take
 * their time. Not what single messages mean.
 */
#include "rig.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct packet {
	struct vu_header header;
	uint8_t payload[512];
};

static size_t pack(struct packet *p, uint32_t request, uint32_t flags, const void *payload,
		   uint32_t size)
{
	p->header = (struct vu_header){.request = request, .flags = 1 | flags, .size = size};
	if (size)
		memcpy(p->payload, payload, size);
	return sizeof(p->header) + size;
}

static void expect_u64(struct rig *rig, uint32_t request, uint64_t value)
{
	struct vu_header header;
	uint64_t got = 0;

	assert_true(rig_receive(rig, &header, &got, sizeof(got)));
	assert_int_equal(header.request, request);
	assert_int_equal(header.flags, 5);
	assert_int_equal(header.size, 8);
	assert_int_equal(got, value);
}

/* Every byte on its own, the descriptors with the first one, the middle one or the last one. */
static void test_byte_by_byte(void **state)
{
	static const enum rig_fd fds[] = {FD_MEM, FD_MEM + 1};
	const struct rig_payload table = TABLE2(0, 1);
	unsigned before = rig_fd_cnt();
	struct packet p;
	struct rig rig;

	(void)state;
	for (unsigned variant = 0; variant < 3; variant++) {
		size_t size = pack(&p, VU_SET_MEM_TABLE, NEED, &table.as, table.size);
		size_t with_fds[] = {0, size / 2, size - 1};

		rig_init(&rig, 1);
		rig_connect(&rig);
		rig_play(&rig, "byte by byte", rig_hello);
		for (size_t i = 0; i < size; i++) {
			rig_send(&rig, (const uint8_t *)&p + i, 1, fds,
				 i == with_fds[variant] ? 2 : 0);
			rig_spin(&rig);
			assert_true(i == size - 1 || rig_silent(&rig));
		}
		expect_u64(&rig, VU_SET_MEM_TABLE, 0);
		assert_int_equal(device_memory(rig.device)->row_cnt, 2);
		rig_fini(&rig);
	}
	assert_int_equal(rig_fd_cnt(), before);
}

/* Eight descriptors, a byte each, are as good as eight at once; a ninth later is one too many. */
static void test_descriptor_with_every_byte(void **state)
{
	struct rig_payload table = {.size = 8 + 8 * 32, .as.table = {.region_cnt = 8}};
	unsigned before = rig_fd_cnt();
	struct packet p;

	(void)state;
	for (unsigned r = 0; r < 8; r++)
		table.as.table.region[r] = (struct vu_mem_region)REGION(r);
	for (unsigned fd_cnt = 8; fd_cnt <= 9; fd_cnt++) {
		size_t size = pack(&p, VU_SET_MEM_TABLE, NEED, &table.as, table.size);
		struct rig rig;

		rig_init(&rig, 1);
		rig_connect(&rig);
		rig_play(&rig, "descriptor with every byte", rig_hello);
		for (unsigned i = 0; i < size; i++) {
			enum rig_fd fd = (enum rig_fd)(FD_MEM + i % 8);

			rig_send(&rig, (const uint8_t *)&p + i, 1, &fd, i < fd_cnt ? 1 : 0);
		}
		expect_u64(&rig, VU_SET_MEM_TABLE, fd_cnt == 9);
		assert_int_equal(device_memory(rig.device)->row_cnt, fd_cnt == 9 ? 1 : 8);
		rig_fini(&rig);
	}
	assert_int_equal(rig_fd_cnt(), before);
}

/* Many messages in one write are many messages, answered in order. */
static void test_burst(void **state)
{
	enum { MESSAGES = 200 };
	uint8_t bytes[MESSAGES * 12];
	struct rig rig;

	(void)state;
	for (unsigned i = 0; i < MESSAGES; i++) {
		struct vu_header h = {.request = i % 2 ? VU_GET_QUEUE_NUM : VU_GET_FEATURES,
				      .flags = 1};

		memcpy(bytes + i * sizeof(h), &h, sizeof(h));
	}
	rig_init(&rig, 3);
	rig_connect(&rig);
	rig_send(&rig, bytes, sizeof(bytes), NULL, 0);
	for (unsigned i = 0; i < MESSAGES; i++)
		expect_u64(&rig, i % 2 ? VU_GET_QUEUE_NUM : VU_GET_FEATURES,
			   i % 2 ? 3 : FAKE_DEVICE_FEATURES | F_PROTOCOL);
	assert_int_equal(vhost_user_stats(rig.vu)->messages, MESSAGES);
	rig_fini(&rig);
}

/* Three messages are in the socket at once: each gets the descriptor that came with it. */
static void test_whose_descriptor(void **state)
{
	static const enum rig_fd event[] = {FD_EVENT}, null[] = {FD_NULL};
	struct packet p;
	struct rig rig;

	(void)state;
	rig_init(&rig, 4);
	rig_connect(&rig);
	rig_play(&rig, "whose descriptor", rig_hello);
	for (uint64_t ring = 0; ring < 3; ring++) {
		size_t size = pack(&p, VU_SET_VRING_CALL, NEED, &ring, sizeof(ring));

		rig_send(&rig, &p, size, ring == 1 ? null : event, 1);
		size = pack(&p, VU_SET_OWNER, NEED, NULL, 0);
		rig_send(&rig, &p, size, NULL, 0);
	}
	for (uint64_t ring = 0; ring < 3; ring++) {
		expect_u64(&rig, VU_SET_VRING_CALL, ring == 1);
		expect_u64(&rig, VU_SET_OWNER, 0);
	}
	rig_fini(&rig);
}

static const struct rig_payload any_payload[] = {
	[VU_SET_FEATURES] = U64(F_V1),
	[VU_SET_MEM_TABLE] = TABLE2(0, 1),
	[VU_SET_VRING_NUM] = STATE(0, 64),
	[VU_SET_VRING_ADDR] = RING_IN(0, 0),
	[VU_SET_VRING_BASE] = STATE(0, 1),
	[VU_GET_VRING_BASE] = STATE(0, 0),
	[VU_SET_VRING_KICK] = U64(0),
	[VU_SET_VRING_CALL] = U64(0),
	[VU_SET_VRING_ERR] = U64(0),
	[VU_SET_PROTOCOL_FEATURES] = U64(0),
	[VU_SET_VRING_ENABLE] = STATE(0, 0),
	[VU_GET_CONFIG] = CONFIG(0, 8, 8),
	[VU_SET_CONFIG] = CONFIG(FAKE_DEVICE_CONFIG_WRITABLE, 1, 1),
	[VU_ADD_MEM_REG] = REG(1),
	[VU_REM_MEM_REG] = REG(0),
	[VU_SET_STATUS] = U64(1),
	[VU_GET_STATUS] = EMPTY,
};

static unsigned any_fds(uint32_t request)
{
	switch (request) {
	case VU_SET_MEM_TABLE:
		return 2;
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
	case VU_SET_BACKEND_REQ_FD:
		return 1;
	}
	return 0;
}

static bool gone(struct rig *rig)
{
	return !fake_device_has_front(rig->device) && !vhost_user_connected(rig->vu);
}

/* The front end leaves after each byte of each message, with a ring that runs. */
static void test_leave_in_the_middle(void **state)
{
	static const enum rig_fd fds[] = {FD_MEM, FD_MEM + 1};
	unsigned before = rig_fd_cnt();

	(void)state;
	for (uint32_t request = 1; request <= VU_GET_STATUS; request++) {
		const struct rig_payload *payload = &any_payload[request];
		struct packet p;
		size_t size = pack(&p, request, NEED, &payload->as, payload->size);

		for (size_t cut = 1; cut <= size; cut++) {
			struct rig rig;

			rig_init(&rig, 2);
			rig_connect(&rig);
			rig_play(&rig, "leave", rig_hello);
			rig_play(&rig, "leave", rig_ring0_running);
			rig_send(&rig, &p, cut, fds, any_fds(request));
			/* Half of them are seen before the end of the stream comes. */
			if (cut & 1)
				rig_spin(&rig);
			close(rig.front);
			rig.front = -1;
			rig_until(&rig, gone, "the session to end");
			assert_false(device_queue_running(rig.device, 0));
			assert_null(device_memory(rig.device));
			if (cut < size)
				assert_int_equal(vhost_user_stats(rig.vu)->session_errors, 1);
			rig_fini(&rig);
		}
	}
	assert_int_equal(rig_fd_cnt(), before);
}

/* The same with each kind of work under way that a session waits for. */
static void test_leave_while_waiting(void **state)
{
	static const struct rig_step waits[] = {
		MSG(GET_VRING_BASE, STATE(0, 0), .any_calls = true),
		MSG(SET_VRING_ENABLE, STATE(0, 0), .flags = NEED, .any_calls = true),
		MSG(SET_VRING_KICK, U64(0), .flags = NEED, FDS(FD_EVENT), .any_calls = true),
		MSG(SET_VRING_CALL, U64(0), .flags = NEED, FDS(FD_EVENT), .any_calls = true),
		MSG(SET_MEM_TABLE, TABLE1(0), .flags = NEED, FDS(FD_MEM), .any_calls = true),
		MSG(REM_MEM_REG, REG(0), .flags = NEED, .any_calls = true),
		MSG(RESET_DEVICE, EMPTY, .flags = NEED, .any_calls = true),
		MSG(RESET_OWNER, EMPTY, .flags = NEED, .any_calls = true),
		MSG(SET_STATUS, U64(0), .flags = NEED, .any_calls = true),
	};
	unsigned before = rig_fd_cnt();

	(void)state;
	for (unsigned i = 0; i < 2 * sizeof(waits) / sizeof(waits[0]); i++) {
		bool by_close = i & 1; /* our own end, not the front end's */
		struct rig rig;

		rig_init(&rig, 2);
		rig_connect(&rig);
		rig_play(&rig, "leave while waiting", rig_hello);
		rig_play(&rig, "leave while waiting", rig_ring0_running);
		fake_device_hold(rig.device);
		rig_play_step(&rig, &waits[i / 2]);
		assert_int_equal(fake_device_held(rig.device), 1);
		if (by_close) {
			rig_fini(&rig); /* releases, closes, and checks that all is gone */
			continue;
		}
		close(rig.front);
		rig.front = -1;
		rig_spin(&rig);
		assert_false(vhost_user_connected(rig.vu));
		assert_true(fake_device_has_front(rig.device)); /* its end has to wait */
		fake_device_release(rig.device);
		rig_until(&rig, gone, "the session to end");
		rig_fini(&rig);
	}
	assert_int_equal(rig_fd_cnt(), before);
}

static bool never(struct rig *rig)
{
	return rig->closed_cb;
}

static void note_closed(void *arg)
{
	struct rig *rig = arg;

	rig->closed_cb = true;
	rig->vu = NULL;
}

/* vhost_user_close() is done when the queues are, not before. */
static void test_close_drains(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "close drains", rig_hello);
	rig_play(&rig, "close drains", rig_ring0_running);
	fake_device_hold(rig.device);
	vhost_user_close(rig.vu, note_closed, &rig);
	rig_spin(&rig);
	assert_false(rig.closed_cb);
	/* The connection is closed last. */
	assert_true(rig_silent(&rig));
	fake_device_release(rig.device);
	rig_until(&rig, never, "the endpoint to close");
	assert_false(rig_silent(&rig));
	rig_fini(&rig);
}

/* GET_VRING_BASE is answered when the ring has drained, and nothing else is read until then. */
static void test_drain_delays_the_base(void **state)
{
	static const struct rig_step ask[] = {
		ACT(HOLD),
		MSG(GET_VRING_BASE, STATE(0, 0), CALLS("stop 0")),
		ACT(END),
	};
	struct vu_header h = {.request = VU_GET_QUEUE_NUM, .flags = 1};
	struct vu_vring_state got = {0};
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_play(&rig, "drain", rig_hello);
	rig_play(&rig, "drain", rig_ring0_running);
	rig_play(&rig, "drain", ask);
	rig_send(&rig, &h, sizeof(h), NULL, 0);
	rig_spin(&rig);
	assert_true(rig_silent(&rig));
	fake_device_release(rig.device);
	assert_true(rig_receive(&rig, &h, &got, sizeof(got)));
	assert_int_equal(h.request, VU_GET_VRING_BASE);
	assert_int_equal(got.value, 7);
	expect_u64(&rig, VU_GET_QUEUE_NUM, 2);
	rig_fini(&rig);
}

static bool stuck(struct rig *rig)
{
	struct vu_header h = {.request = VU_GET_FEATURES, .flags = 1};

	/* Our half is full when the back end has stopped reading. */
	for (;;) {
		ssize_t n = send(rig->front, &h, sizeof(h), MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return true;
		assert_int_equal(n, sizeof(h));
		if (evloop_turn(rig->loop, 0) < 0)
			return false;
	}
}

/* A front end that does not read its replies stands alone: others on the loop are served. */
static void test_slow_reader(void **state)
{
	struct vhost_user_options options = {0};
	struct err err = ERR_INIT;
	struct vhost_user *slow_vu;
	struct device *slow_device;
	struct vu_header h;
	uint64_t answered = 0, value;
	struct rig rig;
	int slow_front, good_front, pair[2];

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	good_front = rig.front;
	/* A second device on the same loop. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	slow_front = pair[0];
	options.fd = pair[1];
	slow_device = fake_device_new("slow", 1);
	assert_int_equal(vhost_user_open(rig.loop, slow_device, &options, &slow_vu, &err), 0);

	rig.front = slow_front;
	rig_until(&rig, stuck, "the socket to be full");
	rig_spin(&rig);
	rig_until(&rig, stuck, "the socket to be full");
	uint64_t before = vhost_user_stats(slow_vu)->messages;

	rig.front = good_front;
	rig_play(&rig, "beside a slow reader", rig_hello);
	rig_play(&rig, "beside a slow reader", rig_ring0_running);
	assert_int_equal(vhost_user_stats(slow_vu)->messages, before);

	/* It begins to read: everything is answered, nothing is lost. */
	rig.front = slow_front;
	while (vhost_user_stats(slow_vu)->messages > answered) {
		assert_true(rig_receive(&rig, &h, &value, sizeof(value)));
		assert_int_equal(value, FAKE_DEVICE_FEATURES | F_PROTOCOL);
		answered++;
	}
	assert_true(answered > before);
	/* It stops again, and leaves without having read. */
	rig_until(&rig, stuck, "the socket to be full");
	close(slow_front);
	rig.front = good_front;
	rig_spin(&rig);
	assert_false(vhost_user_connected(slow_vu));
	/* Which is rude, but no error. */
	assert_int_equal(vhost_user_stats(slow_vu)->session_errors, 0);
	rig.closed_cb = false;
	struct vhost_user *good_vu = rig.vu;

	vhost_user_close(slow_vu, note_closed, &rig);
	assert_true(rig.closed_cb);
	rig.vu = good_vu;
	fake_device_free(slow_device);
	rig_fini(&rig);
}

/* A front end that is stuck does not keep us from closing. */
static void test_close_on_slow_reader(void **state)
{
	struct rig rig;

	(void)state;
	rig_init(&rig, 2);
	rig_connect(&rig);
	rig_until(&rig, stuck, "the socket to be full");
	rig_fini(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_descriptor_with_every_byte),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_whose_descriptor),
		cmocka_unit_test(test_leave_in_the_middle),
		cmocka_unit_test(test_leave_while_waiting),
		cmocka_unit_test(test_close_drains),
		cmocka_unit_test(test_drain_delays_the_base),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_close_on_slow_reader),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
