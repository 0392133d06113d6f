/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device under test and its driver: see device_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "device_rig.h"

#define DEADLINE_NS (60 * NS_PER_S)

uint64_t rig_deadline_ns(void)
{
	return clock_now_ns() + DEADLINE_NS;
}

void rig_check_deadline(uint64_t deadline_ns, const char *what)
{
	if (clock_now_ns() > deadline_ns)
		fail_msg("waited too long for %s", what);
}

void rig_fd_back(int fd)
{
	if (fd < 0)
		return;
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

static void wait_finished(struct join *join)
{
	container_of(join, struct rig_wait, join)->finished = true;
}

void rig_wait_open(struct rig_wait *wait)
{
	wait->finished = false;
	join_open(&wait->join, wait_finished);
}

static void turn_until_finished(struct rig *rig, struct rig_wait *wait)
{
	uint64_t deadline_ns = rig_deadline_ns();

	while (!wait->finished) {
		assert_int_equal(evloop_turn(rig->loop, 10), 0);
		rig_check_deadline(deadline_ns, "a join");
	}
}

int rig_wait_end(struct rig *rig, struct rig_wait *wait)
{
	turn_until_finished(rig, wait);
	return wait->join.status;
}

int rig_wait_done(struct rig *rig, struct rig_wait *wait)
{
	join_done(&wait->join, 0);
	turn_until_finished(rig, wait);
	return wait->join.status;
}

struct ping {
	struct worker_call call;
	struct rig_wait *wait;
};

static void ping_on_worker(struct worker *worker, struct worker_call *call)
{
	(void)worker;
	worker_call_ack(call);
}

static void ping_done(struct worker_call *call)
{
	join_done(&container_of(call, struct ping, call)->wait->join, 0);
}

void rig_ping(struct rig *rig)
{
	struct ping pings[RIG_WORKERS];
	struct rig_wait pinged;

	rig_wait_open(&pinged);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		pings[i].call.run_on_worker = ping_on_worker;
		pings[i].call.done_on_control = ping_done;
		pings[i].wait = &pinged;
		join_add(&pinged.join);
		worker_call(rig->workers[i], &pings[i].call);
	}
	join_done(&pinged.join, 0);
	turn_until_finished(rig, &pinged);
}

void rig_wait_begin(struct rig *rig, struct rig_wait *wait)
{
	join_done(&wait->join, 0);
	/* Calls of one sender run in order: what was sent before has been looked at afterwards. */
	rig_ping(rig);
}

static void open_memory(struct rig *rig)
{
	struct shm_opts opts = {.bytes = 64u << 20, .region_cnt = 2};
	struct gmap_policy policy = {0};
	struct err err = ERR_INIT;

	assert_int_equal(shm_new(&rig->shm, &opts), 0);
	rig->region_cnt = rig->shm->region_cnt;
	assert_true(rig->region_cnt <= ARRAY_LEN(rig->regions));
	for (unsigned i = 0; i < rig->region_cnt; i++) {
		const struct shm_region *region = &rig->shm->region[i];
		struct gmap_desc desc = {
			.gpa = region->gpa,
			.size_bytes = region->bytes,
			.uva = shm_uva(region->hva),
			.mmap_offset_bytes = region->fd_offset_bytes,
		};

		if (gmap_region_new(&desc, region->fd, &policy, &rig->regions[i], &err))
			fail_msg("%s", err.text);
	}
	assert_int_equal(gmem_new(rig->regions, rig->region_cnt, &rig->memory, &err), 0);
}

static void open_ring(struct rig *rig, struct rig_queue *queue)
{
	struct ring_opts opts = {
		.format = rig->options.format,
		.size = rig->options.size,
		.event_idx = rig->options.event_idx,
		.in_order = rig->options.in_order,
	};

	assert_int_equal(ring_new(&queue->ring, rig->shm, &opts), 0);
	queue->requests = calloc(opts.size, sizeof(*queue->requests));
	assert_non_null(queue->requests);
	for (unsigned i = 0; i < opts.size; i++) {
		struct rig_request *req = &queue->requests[i];

		req->header = shm_alloc(rig->shm, 16, 64, &req->header_gpa);
		req->data = shm_alloc(rig->shm, RIG_DATA_BYTES, 512, &req->data_gpa);
		req->status = shm_alloc(rig->shm, 1, 1, &req->status_gpa);
		req->table = shm_alloc(rig->shm, 64, 16, &req->table_gpa);
		assert_non_null(req->table);
	}
	queue->kick_fd = eventfd(0, EFD_NONBLOCK);
	queue->call_fd = eventfd(0, EFD_NONBLOCK);
	queue->err_fd = eventfd(0, EFD_NONBLOCK);
}

static void open_device(struct rig *rig, struct storage *storage)
{
	struct blk_options options = {
		.name = "rig",
		.queues = rig->options.queues,
		.seg_max = 126,
		.discard = !rig->options.no_discard,
		.packed = rig->options.format == RING_PACKED,
		.in_order = rig->options.in_order,
		.event_idx = rig->options.event_idx,
		.indirect = rig->options.indirect,
		.tuning =
			{
				.poll_mode = rig->options.poll_mode,
				.poll_max_ns = rig->options.poll_max_ns,
				.coalesce = rig->options.coalesce,
			},
		.workers = rig->workers,
		.worker_cnt = RIG_WORKERS,
	};
	struct err err = ERR_INIT;
	uint64_t features;

	if (blk_device_new(&options, storage, rig->loop, &rig->device, &err))
		fail_msg("%s", err.text);
	features = device_features(rig->device) & ~rig->options.features_off;
	if (device_set_features(rig->device, features, &err))
		fail_msg("%s", err.text);
}

void rig_open(struct rig *rig, const struct rig_options *options, struct storage *storage)
{
	struct err err = ERR_INIT;
	struct rig_wait wait;

	memset(rig, 0, sizeof(*rig));
	rig->options = *options;
	if (!rig->options.size)
		rig->options.size = 64;
	if (!rig->options.queues)
		rig->options.queues = 1;
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	for (unsigned i = 0; i < RIG_WORKERS; i++) {
		struct worker_options worker = {.cpu = -1, .idx = i};

		if (worker_new(&worker, rig->loop, &rig->workers[i], &err))
			fail_msg("%s", err.text);
	}
	open_memory(rig);
	for (unsigned i = 0; i < rig->options.queues; i++)
		open_ring(rig, &rig->queues[i]);
	open_device(rig, storage);
	rig_wait_open(&wait);
	device_set_memory(rig->device, rig->memory, &wait.join);
	assert_int_equal(rig_wait_done(rig, &wait), 0);
}

void rig_close(struct rig *rig)
{
	for (unsigned i = 0; i < rig->options.queues; i++) {
		struct rig_queue *queue = &rig->queues[i];

		if (queue->started)
			rig_queue_stop(rig, i);
		ring_free(queue->ring);
		free(queue->requests);
		close(queue->kick_fd);
		close(queue->call_fd);
		close(queue->err_fd);
	}
	blk_device_free(rig->device);
	for (unsigned i = 0; i < RIG_WORKERS; i++)
		worker_free(rig->workers[i]);
	assert_int_equal(rig->memory->refs, 1);
	gmem_put(rig->memory);
	for (unsigned i = 0; i < rig->region_cnt; i++)
		gmap_region_put(rig->regions[i]);
	shm_free(rig->shm);
	evloop_free(rig->loop);
}

struct device_queue_setup rig_queue_setup(struct rig *rig, unsigned idx)
{
	struct rig_queue *queue = &rig->queues[idx];
	struct device_queue_setup setup = {
		.size = queue->ring->size,
		.base = ring_base(queue->ring),
		.base_is_exact = true,
		.where =
			{
				.desc_uva = shm_uva(queue->ring->desc),
				.driver_uva = shm_uva(queue->ring->driver_area),
				.device_uva = shm_uva(queue->ring->device_area),
			},
		.kick_fd = dup(queue->kick_fd),
		.call_fd = dup(queue->call_fd),
		.err_fd = dup(queue->err_fd),
	};

	queue->device_call_fd = setup.call_fd;
	return setup;
}

int rig_queue_try_start(struct rig *rig, unsigned idx, const struct device_queue_setup *setup,
			struct err *err)
{
	struct rig_wait wait;
	int status;

	rig_wait_open(&wait);
	status = device_queue_start(rig->device, idx, setup, &wait.join, err);
	if (status)
		return status;
	status = rig_wait_done(rig, &wait);
	rig->queues[idx].started = !status;
	return status;
}

void rig_queue_start(struct rig *rig, unsigned idx)
{
	struct device_queue_setup setup = rig_queue_setup(rig, idx);
	struct err err = ERR_INIT;

	if (rig_queue_try_start(rig, idx, &setup, &err))
		fail_msg("%s", err.text);
}

void rig_queue_stop(struct rig *rig, unsigned idx)
{
	struct rig_wait wait;

	rig_wait_open(&wait);
	device_queue_stop(rig->device, idx, &wait.join);
	assert_int_equal(rig_wait_done(rig, &wait), 0);
	rig->queues[idx].started = false;
}

void rig_queue_move(struct rig *rig, unsigned idx, unsigned worker)
{
	struct rig_wait wait;

	rig_wait_open(&wait);
	device_queue_move(rig->device, idx, rig->workers[worker], &wait.join);
	assert_int_equal(rig_wait_done(rig, &wait), 0);
	assert_ptr_equal(device_queue_worker(rig->device, idx), rig->workers[worker]);
}

void rig_add(struct rig *rig, unsigned idx, uint16_t token, uint32_t type, uint64_t sector,
	     uint32_t out_bytes, uint32_t in_bytes)
{
	struct rig_queue *queue = &rig->queues[idx];
	struct rig_request *req = &queue->requests[token];
	struct ring_seg segs[3];
	unsigned out_cnt = 1, in_cnt = 1, cnt = 0;

	req->header->type = type;
	req->header->reserved = 0;
	req->header->sector = sector;
	*req->status = RIG_NO_STATUS;
	segs[cnt++] = (struct ring_seg){req->header_gpa, 16};
	if (out_bytes || in_bytes)
		segs[cnt++] = (struct ring_seg){req->data_gpa, out_bytes ? out_bytes : in_bytes};
	out_cnt += out_bytes ? 1 : 0;
	in_cnt += in_bytes ? 1 : 0;
	segs[cnt] = (struct ring_seg){req->status_gpa, 1};
	if (rig->options.indirect) {
		ring_table_write(rig->options.format, req->table, segs, out_cnt, in_cnt);
		assert_int_equal(
			ring_add_table(queue->ring, req->table_gpa, out_cnt + in_cnt, token), 0);
	} else {
		assert_int_equal(ring_add(queue->ring, segs, out_cnt, in_cnt, token), 0);
	}
}

bool rig_publish(struct rig *rig, unsigned idx)
{
	uint64_t one = 1;

	if (!ring_publish(rig->queues[idx].ring))
		return false;
	assert_int_equal(write(rig->queues[idx].kick_fd, &one, sizeof(one)), sizeof(one));
	return true;
}

unsigned rig_take_used(struct rig *rig, unsigned idx)
{
	struct ring_used used[64];
	int cnt = ring_get_used(rig->queues[idx].ring, used, ARRAY_LEN(used));

	if (cnt < 0)
		fail_msg("ring: %s", rig->queues[idx].ring->error);
	return (unsigned)cnt;
}

void rig_wait_used(struct rig *rig, unsigned idx, unsigned cnt)
{
	uint64_t deadline_ns = rig_deadline_ns();

	for (unsigned got = 0; got < cnt;) {
		unsigned more = rig_take_used(rig, idx);

		got += more;
		assert_true(got <= cnt);
		if (!more) {
			sched_yield();
			assert_int_equal(evloop_turn(rig->loop, 0), 0);
		}
		rig_check_deadline(deadline_ns, "used buffers");
	}
}

uint8_t rig_do(struct rig *rig, unsigned idx, uint32_t type, uint64_t sector, uint32_t out_bytes,
	       uint32_t in_bytes)
{
	rig_add(rig, idx, 0, type, sector, out_bytes, in_bytes);
	rig_publish(rig, idx);
	rig_wait_used(rig, idx, 1);
	return *rig->queues[idx].requests[0].status;
}

struct blk_stats rig_stats(const struct rig *rig)
{
	struct blk_stats stats;

	blk_device_stats(rig->device, &stats);
	return stats;
}
