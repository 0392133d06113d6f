/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user front end of tools/bench/driver: against the fake back end in a thread, and on a
 * socket whose other end this test plays, where every wrong answer must become a named error.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/blk.h"
#include "driver/front.h"
#include "fake/fake_backend.h"

#define BIT(n) (UINT64_C(1) << (n))
#define TIMEOUT_MS 10000
#define SHORT_MS 50

static unsigned int fd_count(void)
{
	unsigned int cnt = 0;
	DIR *dir = opendir("/proc/self/fd");

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

/* ---- with the fake back end ---- */

struct rig {
	struct fake_backend fake;
	pthread_t thread;
	struct front *front;
	struct shm *shm;
	struct front_queue *fq;
	struct blk_queue *bq;
};

static void *fake_main(void *arg)
{
	struct fake_backend *fake = arg;

	fake_backend_serve(fake);
	return NULL;
}

static void ok(const struct rig *r, int rc)
{
	if (rc < 0)
		fail_msg("%s (%s)", r->front->error, strerror(-rc));
}

static void rig_connect(struct rig *r, enum fake_fault fault)
{
	int pair[2];

	memset(r, 0, sizeof(*r));
	r->fake.fault = fault;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fake_backend_init(&r->fake, pair[1]), 0);
	assert_int_equal(pthread_create(&r->thread, NULL, fake_main, &r->fake), 0);
	assert_int_equal(front_open_sock(&r->front, pair[0], TIMEOUT_MS), 0);
	ok(r, front_negotiate(r->front, UINT64_MAX));
}

static void rig_start(struct rig *r, enum ring_format format, bool indirect, unsigned int regions)
{
	struct ring_opts ring = {
		.format = format, .size = 16, .event_idx = true, .tables_only = indirect};
	struct blk_queue_opts blk = {
		.slot_cnt = 2, .data_bytes = 16384, .segment_bytes = 4096, .indirect = indirect};
	struct shm_opts mem = {.bytes = 1 << 20, .region_cnt = regions, .fd_offset_bytes = 8192};

	ok(r, front_set_features(r->front,
				 BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) |
					 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_BLK_F_MQ) |
					 (format == RING_PACKED ? BIT(VIRTIO_F_RING_PACKED) : 0)));
	assert_int_equal(shm_new(&r->shm, &mem), 0);
	ok(r, front_share_mem(r->front, r->shm));
	ok(r, front_queue_new(&r->fq, r->front, r->shm, 1, &ring));
	ok(r, blk_queue_new(&r->bq, r->fq, r->shm, &blk));
	ok(r, front_queue_start(r->fq));
}

static void rig_end(struct rig *r)
{
	blk_queue_free(r->bq);
	front_queue_free(r->fq);
	front_close(r->front);
	pthread_join(r->thread, NULL);
	assert_false(r->fake.driver_error);
	fake_backend_fini(&r->fake);
	shm_free(r->shm);
}

static void test_negotiation(void **state)
{
	unsigned int fds = fd_count();
	struct blk_config config;
	struct rig r;

	(void)state;
	rig_connect(&r, FAULT_NONE);
	assert_true(front_offers(r.front, VIRTIO_F_RING_PACKED));
	assert_false(front_has(r.front, VIRTIO_F_RING_PACKED));
	assert_true(front_has_protocol(r.front, VU_PF_REPLY_ACK));
	assert_false(front_has_protocol(r.front, VU_PF_INFLIGHT_SHMFD));
	assert_int_equal(r.front->queue_max, FAKE_QUEUE_MAX);
	assert_int_equal(r.front->mem_slots_max, FAKE_REGION_MAX);
	assert_true(r.front->backend_sock >= 0);
	ok(&r, blk_config_get(r.front, &config));
	assert_int_equal(config.capacity_sectors, (64u << 20) / 512);
	assert_int_equal(config.discard_max_sectors, 4096);
	assert_int_equal(config.discard_align_sectors, 8);
	assert_int_equal(config.queue_cnt, FAKE_QUEUE_MAX);
	assert_true(config.zeroes_may_unmap);
	/* Not offered: what VIRTIO implies, whatever the bytes say. */
	assert_int_equal(config.writeback, 1);
	/* The fake refuses a feature that it did not offer. */
	assert_int_equal(front_set_features(r.front, BIT(60)), -EREMOTEIO);
	assert_non_null(strstr(r.front->error, "refused SET_FEATURES"));
	assert_int_equal(front_get_config(r.front, 0, &config, 257), -EINVAL);
	rig_end(&r);
	assert_int_equal(fd_count(), fds);
}

static void io(struct rig *r, uint64_t sector, uint32_t bytes)
{
	static uint8_t out[16384], in[16384];

	for (uint32_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(i * 7 + sector);
	memset(in, 0, sizeof(in));
	assert_int_equal(blk_call(r->bq, 0, VIRTIO_BLK_T_OUT, sector, out, bytes), 0);
	assert_int_equal(blk_call(r->bq, 1, VIRTIO_BLK_T_IN, sector, in, bytes), 0);
	assert_memory_equal(in, out, bytes);
}

static void requests(enum ring_format format, bool indirect, unsigned int regions)
{
	struct virtio_blk_discard_write_zeroes seg = {.sector = 8, .num_sectors = 8};
	static struct rig r; /* these two are too big for a stack frame */
	static uint8_t buf[4096];
	uint32_t base;

	rig_connect(&r, FAULT_NONE);
	rig_start(&r, format, indirect, regions);
	for (unsigned int lap = 0; lap < 40; lap++) {
		io(&r, 8, 512);
		io(&r, 8, 16384);
		io(&r, (64u << 20) / 512 - 1, 512);
	}
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_WRITE_ZEROES, 0, &seg, sizeof(seg)), 0);
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_IN, 8, buf, sizeof(buf)), 0);
	for (unsigned int i = 0; i < sizeof(buf); i++)
		assert_int_equal(buf[i], 0);
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_GET_ID, 0, buf, 20), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_IN, UINT64_C(1) << 40, buf, 512),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(blk_call(r.bq, 2, VIRTIO_BLK_T_IN, 0, buf, 512), -EINVAL);

	/* A stopped queue starts again where it was. */
	ok(&r, front_queue_stop(r.fq, &base));
	assert_int_equal(base, ring_base(r.fq->ring));
	ok(&r, front_queue_start(r.fq));
	io(&r, 100, 4096);
	rig_end(&r);
}

static void test_requests(void **state)
{
	unsigned int fds = fd_count();

	(void)state;
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int indirect = 0; indirect < 2; indirect++) {
			requests(format, indirect, 1);
			requests(format, indirect, 8);
			requests(format, indirect, 60); /* by ADD_MEM_REG */
		}
	assert_int_equal(fd_count(), fds);
}

static void test_too_many_regions(void **state)
{
	struct shm_opts mem = {.bytes = 1 << 20, .region_cnt = FAKE_REGION_MAX + 1};
	struct rig r;

	(void)state;
	rig_connect(&r, FAULT_NONE);
	assert_int_equal(shm_new(&r.shm, &mem), 0);
	assert_int_equal(front_share_mem(r.front, r.shm), -E2BIG);
	assert_int_equal(front_set_mem_table(r.front, r.shm), -E2BIG);
	rig_end(&r);
}

/* The back end asks something of us, and waits, before it answers: neither side may stand still. */
static void test_backend_request_during_a_reply(void **state)
{
	struct rig r;

	(void)state;
	rig_connect(&r, FAULT_CONFIG_CHANGE);
	rig_start(&r, RING_SPLIT, true, 1);
	ok(&r, front_queue_stop(r.fq, NULL));
	assert_int_equal(r.front->config_change_cnt, 1);
	assert_int_equal(front_backend_step(r.front, 0), 0);
	rig_end(&r);
}

static void test_silent_queue_times_out(void **state)
{
	uint8_t buf[512] = {0};
	struct rig r;

	(void)state;
	rig_connect(&r, FAULT_STALL);
	rig_start(&r, RING_SPLIT, true, 1);
	r.front->timeout_ms = SHORT_MS;
	assert_int_equal(blk_call(r.bq, 0, VIRTIO_BLK_T_IN, 0, buf, 512), -ETIMEDOUT);
	assert_non_null(strstr(r.front->error, "no completion within 50 ms"));
	rig_end(&r);
}

/* ---- with the other end in our own hands ---- */

struct wire {
	struct front *front;
	int sock;
};

static struct wire wire_new(void)
{
	struct wire w;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(front_open_sock(&w.front, pair[0], SHORT_MS), 0);
	w.sock = pair[1];
	return w;
}

static void wire_free(struct wire *w)
{
	front_close(w->front);
	if (w->sock >= 0)
		close(w->sock);
}

static void wire_says(struct wire *w, uint32_t request, uint32_t flags, uint32_t size,
		      uint64_t value)
{
	struct vu_header header = {request, flags, size};
	uint8_t bytes[sizeof(header) + sizeof(value)];

	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &value, sizeof(value));
	assert_int_equal(channel_send(w->sock, bytes,
				      sizeof(header) + (size < sizeof(value) ? size : 8), NULL, 0,
				      SHORT_MS),
			 0);
}

static void expect_query(uint32_t request, uint32_t flags, uint32_t size, int want,
			 const char *text)
{
	struct wire w = wire_new();
	uint64_t value = 0;

	wire_says(&w, request, flags, size, 42);
	assert_int_equal(front_query_u64(w.front, VU_GET_FEATURES, &value), want);
	if (want == 0)
		assert_int_equal(value, 42);
	else if (!strstr(w.front->error, text))
		fail_msg("'%s' does not say '%s'", w.front->error, text);
	wire_free(&w);
}

static void test_replies_are_judged(void **state)
{
	(void)state;
	expect_query(VU_GET_FEATURES, 5, 8, 0, "");
	expect_query(VU_GET_FEATURES, 1, 8, -EPROTO, "flags 0x1");
	expect_query(VU_GET_FEATURES, 0xd, 8, -EPROTO, "flags 0xd");
	expect_query(VU_GET_FEATURES, 6, 8, -EPROTO, "flags 0x6");
	expect_query(VU_GET_QUEUE_NUM, 5, 8, -EPROTO, "for request 17");
	expect_query(VU_GET_FEATURES, 5, 4, -EPROTO, "4 bytes");
	expect_query(VU_GET_FEATURES, 5, 0, -EPROTO, "0 bytes");
	expect_query(VU_GET_FEATURES, 5, VU_PAYLOAD_MAX + 1, -EPROTO, "malformed");
	/* Announces more than it sends. */
	expect_query(VU_GET_FEATURES, 5, 16, -ETIMEDOUT, "no answer within 50 ms");
}

static void test_silence_and_hang_up(void **state)
{
	struct wire w = wire_new();
	uint64_t value;

	(void)state;
	assert_int_equal(front_query_u64(w.front, VU_GET_FEATURES, &value), -ETIMEDOUT);
	assert_non_null(strstr(w.front->error, "GET_FEATURES: no answer within 50 ms"));
	assert_int_equal(front_expect_close(w.front), -ETIMEDOUT);
	close(w.sock);
	w.sock = -1;
	/* What was sent before is unread, so the reader may see either error. */
	assert_int_not_equal(front_query_u64(w.front, VU_GET_FEATURES, &value), 0);
	wire_free(&w);

	w = wire_new();
	close(w.sock);
	w.sock = -1;
	assert_int_equal(front_expect_close(w.front), 0);
	wire_free(&w);
}

/* A peer that does not read fills the socket: sending must end, too. */
static void test_peer_that_does_not_read(void **state)
{
	static uint8_t much[1 << 16];
	struct wire w = wire_new();
	int rc = 0;

	(void)state;
	for (unsigned int i = 0; i < 1000 && rc == 0; i++)
		rc = front_send_raw(w.front, VU_SET_CONFIG, 1, sizeof(much), much, sizeof(much),
				    NULL, 0);
	assert_int_equal(rc, -ETIMEDOUT);
	wire_free(&w);
}

static void test_acknowledgements(void **state)
{
	struct wire w = wire_new();
	struct vu_message m;

	(void)state;
	w.front->protocol = BIT(VU_PF_REPLY_ACK);
	wire_says(&w, VU_SET_OWNER, 5, 8, 0);
	assert_int_equal(front_call(w.front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_recv(w.sock, &m, SHORT_MS), 0);
	assert_int_equal(m.header.flags, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY);
	wire_says(&w, VU_SET_OWNER, 5, 8, 7);
	assert_int_equal(front_call(w.front, VU_SET_OWNER, NULL, 0, NULL, 0), -EREMOTEIO);
	assert_non_null(strstr(w.front->error, "refused SET_OWNER (7)"));
	wire_free(&w);

	/* Without REPLY_ACK nothing is asked for and nothing awaited. */
	w = wire_new();
	assert_int_equal(front_call(w.front, VU_SET_OWNER, NULL, 0, NULL, 0), 0);
	assert_int_equal(channel_recv(w.sock, &m, SHORT_MS), 0);
	assert_int_equal(m.header.flags, VU_FLAG_VERSION);
	wire_free(&w);
}

/* Raw sending puts on the wire exactly what it is told, descriptors included. */
static void test_raw_messages(void **state)
{
	static uint8_t payload[2000];
	unsigned int fds = fd_count();
	struct wire w = wire_new();
	struct vu_header header;
	struct vu_message m;
	int fd[3] = {0, 1, 2};

	(void)state;
	assert_int_equal(front_send_raw(w.front, 4711, 0xfffffff2, 4, payload, 4, fd, 3), 0);
	assert_int_equal(channel_recv(w.sock, &m, SHORT_MS), 0);
	assert_int_equal(m.header.request, 4711);
	assert_int_equal(m.header.flags, 0xfffffff2);
	assert_int_equal(m.fd_cnt, 3);
	vu_message_close_fds(&m);

	/* More payload than the size says, and more than one buffer holds. */
	assert_int_equal(front_send_raw(w.front, 1, 1, 3, payload, sizeof(payload), NULL, 0), 0);
	assert_int_equal(read(w.sock, &header, sizeof(header)), sizeof(header));
	assert_int_equal(header.size, 3);
	for (size_t got = 0; got < sizeof(payload);) {
		ssize_t n = read(w.sock, payload, sizeof(payload) - got);

		assert_true(n > 0);
		got += (size_t)n;
	}
	assert_int_equal(channel_recv(w.sock, &m, SHORT_MS), -ETIMEDOUT);
	wire_free(&w);
	assert_int_equal(fd_count(), fds);
}

/* Descriptors that come with a reply nobody expects to have any are closed. */
static void test_surplus_descriptors_are_closed(void **state)
{
	struct {
		struct vu_header header;
		uint8_t value[8];
	} reply = {{VU_GET_FEATURES, 5, 8}, {0}};
	unsigned int fds;
	struct wire w = wire_new();
	int fd[20];
	uint64_t value;

	(void)state;
	for (unsigned int i = 0; i < 20; i++)
		fd[i] = w.sock;
	fds = fd_count();
	assert_int_equal(channel_send(w.sock, &reply, sizeof(reply), fd, 8, SHORT_MS), 0);
	assert_int_equal(front_query_u64(w.front, VU_GET_FEATURES, &value), 0);
	assert_int_equal(fd_count(), fds);
	assert_int_equal(channel_send(w.sock, &reply, sizeof(reply), fd, 20, SHORT_MS), 0);
	assert_int_equal(front_query_u64(w.front, VU_GET_FEATURES, &value), -EPROTO);
	assert_int_equal(fd_count(), fds);
	wire_free(&w);
}

static void test_config_replies(void **state)
{
	struct {
		struct vu_header header;
		struct vu_config config;
	} reply = {{VU_GET_CONFIG, 5, 0}, {0}};
	struct wire w = wire_new();
	uint8_t bytes[8];

	(void)state;
	assert_int_equal(channel_send(w.sock, &reply, 12, NULL, 0, SHORT_MS), 0);
	assert_int_equal(front_get_config(w.front, 0, bytes, 8), -EREMOTEIO);
	reply.header.size = 12 + 8;
	reply.config.size = 9;
	assert_int_equal(channel_send(w.sock, &reply, 12 + 20, NULL, 0, SHORT_MS), 0);
	assert_int_equal(front_get_config(w.front, 0, bytes, 8), -EPROTO);
	reply.config.size = 8;
	assert_int_equal(channel_send(w.sock, &reply, 12 + 20, NULL, 0, SHORT_MS), 0);
	assert_int_equal(front_get_config(w.front, 0, bytes, 8), 0);
	wire_free(&w);
}

static void test_open_errors(void **state)
{
	struct front_opts opts = {.path = "/nonexistent/pario.sock"};
	char path[] = "/tmp/pario-front-XXXXXX";
	struct front *f;
	char sock[64];

	(void)state;
	assert_int_equal(front_open(&f, &opts), -ENOENT);
	assert_non_null(strstr(f->error, "/nonexistent/pario.sock: cannot connect"));
	front_close(f);

	assert_non_null(mkdtemp(path));
	snprintf(sock, sizeof(sock), "%s/s", path);
	opts = (struct front_opts){.path = sock, .listen = true, .timeout_ms = SHORT_MS};
	assert_int_equal(front_open(&f, &opts), -ETIMEDOUT);
	assert_non_null(strstr(f->error, "no back end connected"));
	front_close(f);
	/* The socket that it left behind is stale and is replaced. */
	assert_int_equal(front_open(&f, &opts), -ETIMEDOUT);
	front_close(f);
	unlink(sock);
	rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_too_many_regions),
		cmocka_unit_test(test_backend_request_during_a_reply),
		cmocka_unit_test(test_silent_queue_times_out),
		cmocka_unit_test(test_replies_are_judged),
		cmocka_unit_test(test_silence_and_hang_up),
		cmocka_unit_test(test_peer_that_does_not_read),
		cmocka_unit_test(test_acknowledgements),
		cmocka_unit_test(test_raw_messages),
		cmocka_unit_test(test_surplus_descriptors_are_closed),
		cmocka_unit_test(test_config_replies),
		cmocka_unit_test(test_open_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
