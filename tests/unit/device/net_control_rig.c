/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control side of a network device under test and its driver: see net_control_rig.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "net_control_rig.h"

#define DEADLINE_NS (60 * NS_PER_S)

/* ---- the switch ---- */

struct net_rig_switch net_rig_switch;

void netport_set_receivers(struct netport *port, unsigned cnt)
{
	(void)port;
	net_rig_switch.receivers = cnt;
}

void netport_queue_gone(struct netport *port, unsigned idx)
{
	(void)port, (void)idx;
}

void netport_send(struct netport *port, struct exchange *exchange, unsigned queue_idx,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	(void)queue_idx;
	(void)port;
	(void)exchange;
	(void)now_ns;
	assert_int_equal(cnt, 1);
	memcpy(net_rig_switch.head, frames[0]->head, sizeof(net_rig_switch.head));
	net_rig_switch.bytes = frames[0]->bytes;
	if (net_rig_switch.keep) {
		frames[0]->refs++;
		net_rig_switch.kept = frames[0];
	}
	store_release(&net_rig_switch.sent, net_rig_switch.sent + 1);
}

struct exchange *fabric_exchange(const struct fabric *fabric, const struct worker *worker)
{
	(void)fabric;
	return (struct exchange *)(void *)(uintptr_t)worker;
}

/* ---- a model that does nothing but what it is told ---- */

static struct net_rig *the_rig;

static struct net_rig_queue *rig_queue(const struct device_queue *queue)
{
	return &the_rig->queues[queue->idx];
}

static void note(unsigned *counter)
{
	store_relaxed(counter, *counter + 1);
}

static unsigned discard(struct net_queue *queue, uint64_t now_ns)
{
	struct device_queue *base = &queue->queue;
	struct vq_slot *slots[VIRTQUEUE_BURST];
	unsigned cnt = 0;

	if (queue->kind == NET_QUEUE_TX && !queue->enabled && device_queue_may_fetch(base))
		cnt = virtqueue_fetch(base->vq, base->pool, slots, VIRTQUEUE_BURST);
	for (unsigned i = 0; i < cnt; i++) {
		slots[i]->used_bytes = 0;
		note(&rig_queue(base)->discarded_cnt);
	}
	if (cnt)
		virtqueue_complete(base->vq, base->pool, slots, cnt);
	device_queue_notify(base, cnt, now_ns);
	return cnt;
}

static unsigned rig_poll(struct poller *poller, uint64_t now_ns)
{
	struct device_queue *base = container_of(poller, struct device_queue, poller);
	struct net_queue *queue = net_of_queue(base);
	unsigned work = queue->kind == NET_QUEUE_CONTROL ? net_control_poll(queue, now_ns)
							 : discard(queue, now_ns);

	device_queue_poll_end(base);
	return work;
}

static const struct poller_ops rig_poller_ops = {
	.poll = rig_poll,
	.prepare_sleep = device_queue_prepare_sleep,
	.cancel_sleep = device_queue_cancel_sleep,
	.next_deadline = device_queue_next_deadline,
	.kicked = device_queue_kicked,
};

static int rig_open_queue(struct device_queue *base, struct worker *worker, struct err *err)
{
	struct net_queue *queue = net_of_queue(base);

	(void)worker;
	(void)err;
	queue->net = net_of_device(base->device);
	queue->kind = net_queue_kind(base->device->acked, NET_RIG_PAIRS, base->idx);
	queue->rules = load_acquire(&queue->net->rules);
	return 0;
}

static void rig_close_queue(struct device_queue *base)
{
	(void)base;
}

static void rig_enable_queue(struct device_queue *base, bool enabled)
{
	struct net_rig_queue *queue = rig_queue(base);

	net_of_queue(base)->enabled = enabled;
	note(enabled ? &queue->enabled_cnt : &queue->disabled_cnt);
}

static void rig_told(struct device_queue *base)
{
	struct net_queue *queue = net_of_queue(base);

	queue->rules = load_acquire(&queue->net->rules);
	note(&rig_queue(base)->told_cnt);
}

static unsigned rig_detach(struct device_queue *base, struct device_remainder *rem)
{
	return net_control_detach(net_of_queue(base), (struct net_remainder *)(void *)rem);
}

static unsigned rig_reap(struct device_remainder *base)
{
	struct net_remainder *rem = (struct net_remainder *)(void *)base;

	if (!net_control_reap(rem))
		return 0;
	base->outstanding--;
	rem->command->slot.link = NULL;
	base->finished = &rem->command->slot;
	return 1;
}

static void rig_close_remainder(struct device_remainder *rem)
{
	(void)rem;
}

static unsigned rig_adopt(struct device_queue *base, struct device_remainder *rem, uint64_t now_ns)
{
	virtqueue_complete(base->vq, base->pool, &rem->batch, 1);
	device_queue_notify(base, 1, now_ns);
	return 1;
}

static void rig_retire(struct device_remainder *rem)
{
	(void)rem;
}

static const struct stat_row no_rows[1];

static void rig_table(unsigned idx, struct stat_table *table)
{
	(void)idx;
	*table = (struct stat_table){.name = "none", .rows = no_rows, .bytes = 8};
}

static void rig_table_add(const struct device_queue *queue, unsigned idx, void *sum)
{
	(void)queue;
	(void)idx;
	(void)sum;
}

static const struct device_ops rig_ops = {
	.kind = "port",
	.virtio_id = 1,
	.queue_bytes = sizeof(struct net_queue),
	.remainder_bytes = sizeof(struct net_remainder),
	.slot_bytes = sizeof(struct net_slot),
	.poller_ops = &rig_poller_ops,
	.feature_name = net_feature_name,
	.features_acked = net_features_acked,
	.config_fill = net_config_fill,
	.queue_group = net_queue_group,
	.config_write = net_config_write,
	.queue_open_on_worker = rig_open_queue,
	.queue_close_on_worker = rig_close_queue,
	.queue_detach_on_worker = rig_detach,
	.remainder_reap_on_worker = rig_reap,
	.remainder_close_on_worker = rig_close_remainder,
	.queue_adopt = rig_adopt,
	.remainder_retire = rig_retire,
	.serves_disabled = true,
	.queue_enable_on_worker = rig_enable_queue,
	.queue_told_on_worker = rig_told,
	.queue_is_told = net_queue_is_told,
	.queue_changed = net_queue_changed,
	.message = net_message,
	.table_cnt = 1,
	.table = rig_table,
	.queue_table_add = rig_table_add,
};

/* ---- waiting ---- */

uint64_t net_rig_deadline_ns(void)
{
	return clock_now_ns() + DEADLINE_NS;
}

void net_rig_turn(struct net_rig *rig, uint64_t deadline_ns, const char *what)
{
	sched_yield();
	assert_int_equal(evloop_turn(rig->loop, 1), 0);
	if (clock_now_ns() > deadline_ns)
		fail_msg("waited too long for %s", what);
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
	uint64_t deadline_ns = net_rig_deadline_ns();

	join_done(&wait->join, 0);
	while (!wait->finished)
		net_rig_turn(rig, deadline_ns, "a join");
	return wait->join.status;
}

struct ping {
	struct worker_call call;
	struct net_rig_wait *wait;
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

static void return_on_worker(struct worker *worker, struct worker_call *call)
{
	struct frame *frame = net_rig_switch.kept;

	(void)worker;
	if (--frame->refs == 0)
		frame->source->returned(frame->source, &frame, 1);
	worker_call_ack(call);
}

static void send_to_workers(struct net_rig *rig, unsigned cnt,
			    void (*run)(struct worker *worker, struct worker_call *call))
{
	struct ping pings[NET_RIG_WORKERS];
	struct net_rig_wait pinged;

	net_rig_wait_open(&pinged);
	for (unsigned i = 0; i < cnt; i++) {
		pings[i].call.run_on_worker = run;
		pings[i].call.done_on_control = ping_done;
		pings[i].wait = &pinged;
		join_add(&pinged.join);
		worker_call(rig->workers[i], &pings[i].call);
	}
	net_rig_wait_done(rig, &pinged);
}

void net_rig_ping(struct net_rig *rig)
{
	send_to_workers(rig, NET_RIG_WORKERS, ping_on_worker);
}

void net_rig_return(struct net_rig *rig)
{
	send_to_workers(rig, 1, return_on_worker);
	net_rig_ping(rig);
}

/* ---- making ---- */

static void open_memory(struct net_rig *rig)
{
	struct shm_opts opts = {.bytes = 16u << 20, .region_cnt = 2};
	struct gmap_policy policy = {0};
	struct err err = ERR_INIT;

	assert_int_equal(shm_new(&rig->shm, &opts), 0);
	rig->region_cnt = rig->shm->region_cnt;
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
	rig->out = shm_alloc(rig->shm, NET_RIG_BYTES, 64, &rig->out_gpa);
	rig->in = shm_alloc(rig->shm, NET_RIG_BYTES, 64, &rig->in_gpa);
	assert_non_null(rig->in);
}

static void open_ring(struct net_rig *rig, struct net_rig_queue *queue)
{
	struct ring_opts opts = {
		.format = rig->options.format,
		.size = NET_RIG_RING,
		.in_order = rig->options.in_order,
	};

	assert_int_equal(ring_new(&queue->ring, rig->shm, &opts), 0);
	queue->kick_fd = eventfd(0, EFD_NONBLOCK);
	queue->call_fd = eventfd(0, EFD_NONBLOCK);
}

static void open_device(struct net_rig *rig)
{
	struct net_device *net = &rig->net;
	struct device_setup setup = {
		.name = "rig",
		.queues = NET_RIG_QUEUES,
		.queue_cnt_said = NET_RIG_PAIRS,
		.tuning = {.poll_mode = rig->options.poll_mode, .poll_max_ns = 50000},
		.workers = rig->workers,
		.worker_cnt = NET_RIG_WORKERS,
	};
	struct err err = ERR_INIT;

	net->options = (struct net_options){
		.queue_pairs = NET_RIG_PAIRS,
		.mac = {0x52, 0x54, 0, 1, 2, 3},
		.mac_given = !rig->options.no_mac,
		.mtu = NET_RIG_MTU,
		.speed_mbit = 10000,
		.offloads = {true, true, true, true, true, true, true, true, true, true, true, true,
			     true, true},
		.packed = rig->options.format == RING_PACKED,
		.in_order = rig->options.in_order,
		.indirect = true,
	};
	net->pairs_max = NET_RIG_PAIRS;
	net->loop = rig->loop;
	setup.features = net_features_offered(&net->options);
	assert_int_equal(device_init(&net->device, &rig_ops, &setup, &err), 0);
	assert_int_equal(net_control_new(net, &err), 0);
	if (device_set_features(&net->device, setup.features & ~rig->options.features_off, &err))
		fail_msg("%s", err.text);
}

static void config_changed(void *front)
{
	((struct net_rig *)front)->config_changes++;
}

void net_rig_open(struct net_rig *rig, const struct net_rig_options *options)
{
	static const struct device_front_ops front_ops = {.config_changed = config_changed};
	struct err err = ERR_INIT;
	struct net_rig_wait wait;

	memset(rig, 0, sizeof(*rig));
	memset(&net_rig_switch, 0, sizeof(net_rig_switch));
	the_rig = rig;
	rig->options = *options;
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	for (unsigned i = 0; i < NET_RIG_WORKERS; i++) {
		struct worker_options worker = {.cpu = -1, .idx = i};

		if (worker_new(&worker, rig->loop, &rig->workers[i], &err))
			fail_msg("%s", err.text);
	}
	open_memory(rig);
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		open_ring(rig, &rig->queues[i]);
	open_device(rig);
	device_set_front(&rig->net.device, &front_ops, rig);
	net_rig_wait_open(&wait);
	device_set_memory(&rig->net.device, rig->memory, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
}

void net_rig_close(struct net_rig *rig)
{
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++) {
		struct net_rig_queue *queue = &rig->queues[i];

		if (queue->started)
			net_rig_stop(rig, i);
		ring_free(queue->ring);
		close(queue->kick_fd);
		close(queue->call_fd);
	}
	net_control_free(&rig->net);
	device_fini(&rig->net.device);
	net_rig_ping(rig);
	for (unsigned i = 0; i < NET_RIG_WORKERS; i++)
		worker_free(rig->workers[i]);
	gmem_put(rig->memory);
	for (unsigned i = 0; i < rig->region_cnt; i++)
		gmap_region_put(rig->regions[i]);
	shm_free(rig->shm);
	evloop_free(rig->loop);
}

/* ---- queues ---- */

void net_rig_start_at(struct net_rig *rig, unsigned idx, bool enabled, uint32_t base)
{
	struct net_rig_queue *queue = &rig->queues[idx];
	struct device_queue_setup setup = {
		.size = queue->ring->size,
		.base = base,
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
		.err_fd = -1,
	};
	struct net_rig_wait wait;
	struct err err = ERR_INIT;

	net_rig_wait_open(&wait);
	if (device_queue_start(&rig->net.device, idx, &setup, &wait.join, &err))
		fail_msg("%s", err.text);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	queue->started = true;
}

void net_rig_start(struct net_rig *rig, unsigned idx, bool enabled)
{
	net_rig_start_at(rig, idx, enabled, ring_base(rig->queues[idx].ring));
}

void net_rig_stop(struct net_rig *rig, unsigned idx)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_stop(&rig->net.device, idx, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	rig->queues[idx].started = false;
}

void net_rig_enable(struct net_rig *rig, unsigned idx, bool enabled)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_set_enabled(&rig->net.device, idx, enabled, &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
}

void net_rig_move(struct net_rig *rig, unsigned idx, unsigned worker)
{
	struct net_rig_wait wait;

	net_rig_wait_open(&wait);
	device_queue_move(&rig->net.device, idx, rig->workers[worker], &wait.join);
	assert_int_equal(net_rig_wait_done(rig, &wait), 0);
	assert_ptr_equal(device_queue_worker(&rig->net.device, idx), rig->workers[worker]);
}

void net_rig_start_all(struct net_rig *rig)
{
	for (unsigned i = 0; i < NET_RIG_QUEUES; i++)
		net_rig_start(rig, i, true);
}

/* ---- the driver ---- */

static unsigned cut(struct ring_seg *segs, uint64_t gpa, uint32_t bytes, uint32_t piece)
{
	unsigned cnt = 0;

	for (uint32_t at = 0; at < bytes; at += piece) {
		assert_true(cnt < NET_RIG_RING);
		segs[cnt++] = (struct ring_seg){gpa + at, bytes - at < piece ? bytes - at : piece};
	}
	return cnt;
}

void net_rig_kick(struct net_rig *rig, unsigned idx)
{
	uint64_t one = 1;

	assert_int_equal(write(rig->queues[idx].kick_fd, &one, sizeof(one)), sizeof(one));
}

void net_rig_add(struct net_rig *rig, unsigned idx, uint16_t token, uint32_t out_bytes,
		 uint32_t in_bytes, uint32_t piece)
{
	static struct ring_seg segs[2 * NET_RIG_RING];
	unsigned out_cnt = cut(segs, rig->out_gpa, out_bytes, piece ? piece : NET_RIG_BYTES);
	unsigned in_cnt = cut(segs + out_cnt, rig->in_gpa, in_bytes, piece ? piece : NET_RIG_BYTES);

	assert_int_equal(ring_add(rig->queues[idx].ring, segs, out_cnt, in_cnt, token), 0);
	if (ring_publish(rig->queues[idx].ring))
		net_rig_kick(rig, idx);
}

uint32_t net_rig_used(struct net_rig *rig, unsigned idx)
{
	uint64_t deadline_ns = net_rig_deadline_ns();
	struct ring_used used;
	int cnt;

	while ((cnt = ring_get_used(rig->queues[idx].ring, &used, 1)) == 0)
		net_rig_turn(rig, deadline_ns, "a used chain");
	if (cnt < 0)
		fail_msg("ring: %s", rig->queues[idx].ring->error);
	return used.bytes;
}

struct net_rig_answer net_rig_command(struct net_rig *rig, uint32_t bytes, uint32_t in_bytes,
				      uint32_t piece)
{
	struct net_rig_answer answer;

	memset(rig->in, NET_RIG_NO_ACK, NET_RIG_BYTES);
	net_rig_add(rig, NET_RIG_CONTROL, 0, bytes, in_bytes, piece);
	answer.used_bytes = net_rig_used(rig, NET_RIG_CONTROL);
	answer.ack = rig->in[0];
	return answer;
}

uint8_t net_rig_do(struct net_rig *rig, uint8_t class, uint8_t number, const void *data,
		   uint32_t bytes)
{
	struct net_rig_answer answer;

	rig->out[0] = class;
	rig->out[1] = number;
	if (bytes)
		memcpy(rig->out + 2, data, bytes);
	answer = net_rig_command(rig, 2 + bytes, 1, 0);
	assert_int_equal(answer.used_bytes, 1);
	assert_int_equal(rig->in[1], NET_RIG_NO_ACK);
	return answer.ack;
}

const struct net_rules *net_rig_rules(const struct net_rig *rig)
{
	return rig->net.rules;
}

struct net_state net_rig_state(const struct net_rig *rig)
{
	struct net_state state;

	net_device_state(&rig->net.device, &state);
	return state;
}
