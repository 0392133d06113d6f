/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests on a switch, and their life: see net_rig.h. Their frames are in net_rig_frames.c.
 */
#include "net_rig.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DEADLINE_NS (60 * NS_PER_S)

uint64_t net_rig_deadline_ns(void)
{
	return clock_now_ns() + DEADLINE_NS;
}

void net_rig_turn(struct net_rig *rig, uint64_t deadline_ns, const char *what)
{
	sched_yield();
	assert_int_equal(evloop_turn(rig->loop, 0), 0);
	if (clock_now_ns() > deadline_ns)
		fail_msg("waited too long for: %s", what);
}

static void wait_finished(struct join *join)
{
	container_of(join, struct net_rig_wait, join)->finished = true;
}

void net_rig_wait_open(struct net_rig_wait *wait)
{
	wait->finished = false;
	join_open(&wait->join, wait_finished);
}

int net_rig_wait_done(struct net_rig *rig, struct net_rig_wait *wait)
{
	join_done(&wait->join, 0);
	net_rig_until(rig, wait->finished);
	return wait->join.status;
}

void net_rig_open(struct net_rig *rig, unsigned worker_cnt)
{
	const struct netswitch_options sw = {
		.name = "lan",
		.mac_table_size = 1024,
		.mac_aging_s = 300,
	};
	struct err err = ERR_INIT;

	memset(rig, 0, sizeof(*rig));
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	rig->worker_cnt = worker_cnt;
	for (unsigned i = 0; i < worker_cnt; i++) {
		const struct worker_options worker = {.cpu = -1, .idx = i};

		if (worker_new(&worker, rig->loop, &rig->workers[i], &err))
			fail_msg("%s", err.text);
	}
	const struct fabric_options fabric = {
		.workers = rig->workers,
		.worker_cnt = worker_cnt,
		.poll_mode = POLL_MODE_ADAPTIVE,
		.poll_max_ns = 50 * NS_PER_US,
	};
	if (fabric_new(&fabric, rig->loop, &rig->fabric, &err) ||
	    netswitch_new(&sw, rig->fabric, &rig->sw, &err))
		fail_msg("%s", err.text);
}

static void closed(void *arg)
{
	((struct net_rig *)arg)->closed++;
}

void net_rig_close(struct net_rig *rig)
{
	for (unsigned i = 0; i < NET_RIG_GUESTS; i++) {
		if (rig->guests[i].there)
			net_rig_guest_remove(rig, &rig->guests[i]);
	}
	rig->closed = 0;
	netswitch_free(rig->sw, closed, rig);
	fabric_free(rig->fabric, closed, rig);
	net_rig_until(rig, rig->closed == 2);
	for (unsigned i = 0; i < rig->worker_cnt; i++)
		worker_free(rig->workers[i]);
	evloop_free(rig->loop);
}

static void open_memory(struct net_guest *guest)
{
	const struct shm_opts opts = {.bytes = 128u << 20, .region_cnt = 1};
	const struct gmap_policy policy = {0};
	struct err err = ERR_INIT;

	assert_int_equal(shm_new(&guest->shm, &opts), 0);
	const struct shm_region *region = &guest->shm->region[0];
	const struct gmap_desc desc = {
		.gpa = region->gpa,
		.size_bytes = region->bytes,
		.uva = shm_uva(region->hva),
		.mmap_offset_bytes = region->fd_offset_bytes,
	};
	if (gmap_region_new(&desc, region->fd, &policy, &guest->region, &err))
		fail_msg("%s", err.text);
	assert_int_equal(gmem_new(&guest->region, 1, &guest->memory, &err), 0);
}

static void open_ring(struct net_guest *guest, unsigned idx)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	const struct net_guest_options *options = &guest->options;
	const struct ring_opts opts = {
		.format = options->format,
		.size = options->size,
		.event_idx = options->event_idx,
		.in_order = options->in_order,
	};
	const uint32_t bytes = idx % 2 ? NET_RIG_BYTES_MAX : options->buffer_bytes;

	assert_int_equal(ring_new(&queue->ring, guest->shm, &opts), 0);
	queue->buffers = calloc(opts.size, sizeof(*queue->buffers));
	queue->free = calloc(opts.size, sizeof(*queue->free));
	assert_non_null(queue->buffers);
	assert_non_null(queue->free);
	for (unsigned i = 0; i < opts.size; i++) {
		struct net_buffer *buffer = &queue->buffers[i];

		buffer->data = shm_alloc(guest->shm, bytes, 64, &buffer->gpa);
		buffer->table =
			shm_alloc(guest->shm, NET_RIG_PIECES_MAX * 16, 16, &buffer->table_gpa);
		assert_non_null(buffer->data);
		assert_non_null(buffer->table);
		queue->free[queue->free_cnt++] = (uint16_t)(opts.size - 1 - i);
	}
	queue->kick_fd = eventfd(0, EFD_NONBLOCK);
	queue->call_fd = eventfd(0, EFD_NONBLOCK);
	queue->err_fd = eventfd(0, EFD_NONBLOCK);
}

static void close_ring(struct net_guest *guest, unsigned idx)
{
	struct net_guest_queue *queue = &guest->queues[idx];

	ring_free(queue->ring);
	free(queue->buffers);
	free(queue->free);
	close(queue->kick_fd);
	close(queue->call_fd);
	close(queue->err_fd);
}

static void open_device(struct net_rig *rig, struct net_guest *guest)
{
	const struct net_guest_options *want = &guest->options;
	char name[16];
	struct net_options options = {
		.name = name,
		.queue_pairs = want->pairs,
		.mac_given = true,
		.mtu = want->mtu,
		.offloads = {true, true, true, true, true, true, true, true, true, true, true, true,
			     true, true},
		.packed = want->format == RING_PACKED,
		.in_order = want->in_order,
		.event_idx = want->event_idx,
		.indirect = want->indirect,
		.tuning =
			{
				.poll_mode = want->poll_mode,
				.poll_max_ns = 50 * NS_PER_US,
				.coalesce = want->coalesce,
			},
		.fabric = rig->fabric,
		.port = guest->port,
		.workers = rig->workers,
		.worker_cnt = rig->worker_cnt,
	};
	struct err err = ERR_INIT;

	snprintf(name, sizeof(name), "guest%u", guest->number);
	memcpy(options.mac, guest->mac, sizeof(options.mac));
	if (net_device_new(&options, rig->loop, &guest->device, &err))
		fail_msg("%s", err.text);
	if (device_set_features(guest->device,
				device_features(guest->device) & ~want->features_off &
					~(want->control ? 0 : BIT(NET_F_CTRL_VQ)) &
					~(want->hash ? 0 : BIT(NET_F_HASH_REPORT)),
				&err))
		fail_msg("%s", err.text);
}

static void open_port(struct net_rig *rig, struct net_guest *guest)
{
	struct netport_options options = {
		.name = "port",
		.netswitch = rig->sw,
		.mac_lock = !guest->options.no_lock,
	};
	struct err err = ERR_INIT;

	memcpy(options.mac, guest->mac, sizeof(options.mac));
	if (netport_open(&options, &guest->port, &err))
		fail_msg("%s", err.text);
}

struct net_guest *net_rig_guest(struct net_rig *rig, unsigned number,
				const struct net_guest_options *options)
{
	struct net_guest *guest = &rig->guests[number];
	struct net_rig_wait wait;

	assert_false(guest->there);
	memset(guest, 0, sizeof(*guest));
	guest->options = *options;
	if (!guest->options.size)
		guest->options.size = 64;
	if (!guest->options.pairs)
		guest->options.pairs = 1;
	if (!guest->options.buffer_bytes)
		guest->options.buffer_bytes = NET_RIG_BYTES_MAX;
	if (!guest->options.pieces)
		guest->options.pieces = 1;
	guest->number = number;
	memcpy(guest->mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)(number + 1)}, sizeof(guest->mac));
	open_memory(guest);
	open_port(rig, guest);
	open_device(rig, guest);
	guest->there = true;
	net_rig_wait_open(&wait);
	device_set_memory(guest->device, guest->memory, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	for (unsigned i = 0; i < net_rig_queue_cnt(guest); i++) {
		const unsigned worker = i % 2 ? guest->options.tx_worker : guest->options.rx_worker;

		open_ring(guest, i);
		device_queue_set_home(guest->device, i, rig->workers[worker]);
		net_rig_queue_start(rig, guest, i, true);
	}
	return guest;
}

void net_rig_guest_remove(struct net_rig *rig, struct net_guest *guest)
{
	for (unsigned i = 0; i < net_rig_queue_cnt(guest); i++) {
		if (guest->queues[i].started)
			net_rig_queue_stop(rig, guest, i);
		close_ring(guest, i);
	}
	net_device_free(guest->device);
	rig->closed = 0;
	netport_close(guest->port, closed, rig);
	net_rig_until(rig, rig->closed == 1);
	assert_int_equal(guest->memory->refs, 1);
	gmem_put(guest->memory);
	gmap_region_put(guest->region);
	shm_free(guest->shm);
	guest->there = false;
}

void net_rig_queue_start(struct net_rig *rig, struct net_guest *guest, unsigned idx, bool enabled)
{
	struct net_guest_queue *queue = &guest->queues[idx];
	const struct device_queue_setup setup = {
		.size = queue->ring->size,
		.base = queue->was_started ? device_queue_base(guest->device, idx)
					   : ring_base(queue->ring),
		.base_is_exact = true,
		.where =
			{
				.desc_uva = shm_uva(queue->ring->desc),
				.driver_uva = shm_uva(queue->ring->driver_area),
				.device_uva = shm_uva(queue->ring->device_area),
			},
		.enabled = enabled,
		.kick_fd = queue->kick_fd,
		.call_fd = queue->call_fd,
		.err_fd = queue->err_fd,
	};
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	net_rig_wait_open(&wait);
	if (device_queue_start(guest->device, idx, &setup, &wait.join, &err))
		fail_msg("%s", err.text);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	queue->started = true;
	queue->was_started = true;
}

void net_rig_queue_stop(struct net_rig *rig, struct net_guest *guest, unsigned idx)
{
	struct device_queue_view view;
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_stop(guest->device, idx, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	assert_true(device_queue_view(guest->device, idx, &view));
	assert_int_equal(view.in_flight, 0);
	guest->queues[idx].started = false;
}

void net_rig_queue_enable(struct net_rig *rig, struct net_guest *guest, unsigned idx, bool enabled)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_set_enabled(guest->device, idx, enabled, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
}

void net_rig_queue_move(struct net_rig *rig, struct net_guest *guest, unsigned idx, unsigned worker)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_move(guest->device, idx, rig->workers[worker], &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	assert_ptr_equal(device_queue_worker(guest->device, idx), rig->workers[worker]);
}

static void stats_of(const struct net_guest *guest, const char *name, void *sum)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(guest->device, &cnt);

	for (unsigned i = 0; i < cnt; i++) {
		if (strcmp(tables[i].name, name) == 0) {
			device_stats(guest->device, i, sum);
			return;
		}
	}
	fail_msg("no table %s", name);
}

struct net_stats net_rig_stats(const struct net_guest *guest)
{
	struct net_stats stats;

	stats_of(guest, "frames", &stats);
	return stats;
}

struct virtqueue_stats net_rig_ring_stats(const struct net_guest *guest)
{
	struct virtqueue_stats stats;

	stats_of(guest, "ring", &stats);
	return stats;
}
