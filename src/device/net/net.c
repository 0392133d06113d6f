/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and ending a network device, its counters, and which kind of queue does what.
 * Not the queues' work (tx.c, rx.c, control.c) nor config space (config.c).
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "device/net/control_priv.h"

#define ROW(member, unit_, help_)                                  \
	{                                                          \
		.name = #member, .unit = (unit_), .help = (help_), \
		.offset = offsetof(struct net_stats, member)       \
	}

const struct stat_row net_stat_rows[] = {
	ROW(tx_frames, "frames", "Frames that the guest sent."),
	ROW(tx_bytes, "bytes", "Bytes of these."),
	ROW(tx_gso, "frames", "Large frames among these."),
	ROW(rx_frames, "frames", "Frames given to the guest."),
	ROW(rx_bytes, "bytes", "Bytes of these."),
	ROW(rx_gso, "frames", "Large frames among these."),
	ROW(rx_segments, "frames", "Made out of large frames that the guest does not take."),
	ROW(rx_csums, "frames", "Checksums completed for a guest that does not do it."),
	ROW(tx_bad_chain, "frames", "Refused: a descriptor chain that cannot be used."),
	ROW(tx_bad_header, "frames", "Refused: no room for a header, or writable buffers."),
	ROW(tx_runt, "frames", "Refused: shorter than an Ethernet header."),
	ROW(tx_too_long, "frames", "Refused: longer than any frame."),
	ROW(tx_bad_csum, "frames", "Refused: a checksum outside of the headers, or not agreed on."),
	ROW(tx_bad_gso, "frames", "Refused: a large frame of a kind or size that cannot be."),
	ROW(tx_over_mtu, "frames", "Refused: longer than the MTU."),
	ROW(tx_disabled, "frames", "Discarded: the queue is not enabled."),
	ROW(rx_no_buffer, "frames", "Dropped: no buffers came in time."),
	ROW(rx_bad_chain, "buffers", "Given back: chains that are no receive buffers."),
	ROW(rx_small_buffer, "frames", "Dropped: the guest's buffers are too small."),
	ROW(rx_over_mtu, "frames", "Dropped: longer than the guest's MTU."),
	ROW(rx_filtered, "frames", "Dropped: the guest filters its address or VLAN."),
	ROW(rx_held, "frames", "Waited for buffers in their sender's memory."),
	ROW(rx_pooled, "frames", "Waited longer, as a copy."),
	ROW(control_commands, "commands", "Commands of the control queue."),
	ROW(control_refused, "commands", "Refused: not agreed on, or with a value that cannot be."),
	ROW(control_coalesce, "commands",
	    "Refused: coalescing of more packets or usecs than can be."),
	ROW(control_malformed, "commands", "Refused: no command, too long, or no room to answer."),
};
const unsigned net_stat_row_cnt = ARRAY_LEN(net_stat_rows);
static_assert(ARRAY_LEN(net_stat_rows) * sizeof(uint64_t) == sizeof(struct net_stats),
	      "one row a counter");

/* ---- owner worker ---- */

static struct net_queue *queue_of_poller(struct poller *poller)
{
	return net_of_queue(container_of(poller, struct device_queue, poller));
}

static unsigned net_poll(struct poller *poller, uint64_t now_ns)
{
	struct net_queue *queue = queue_of_poller(poller);
	unsigned work;

	switch (queue->kind) {
	case NET_QUEUE_RX:
		work = net_rx_poll(queue, now_ns);
		break;
	case NET_QUEUE_TX:
		work = net_tx_poll(queue, now_ns);
		break;
	default:
		work = net_control_poll(queue, now_ns);
		break;
	}
	device_queue_poll_end(&queue->queue);
	return work;
}

static bool net_prepare_sleep(struct poller *poller)
{
	struct net_queue *queue = queue_of_poller(poller);

	return queue->kind == NET_QUEUE_RX && !queue->queue.quiet
		       ? net_rx_prepare_sleep(queue)
		       : device_queue_prepare_sleep(poller);
}

static uint64_t net_next_deadline(struct poller *poller)
{
	struct net_queue *queue = queue_of_poller(poller);

	return queue->kind == NET_QUEUE_RX ? net_rx_next_deadline(queue)
					   : device_queue_next_deadline(poller);
}

static const struct poller_ops net_poller_ops = {
	.poll = net_poll,
	.prepare_sleep = net_prepare_sleep,
	.cancel_sleep = device_queue_cancel_sleep,
	.next_deadline = net_next_deadline,
	.kicked = device_queue_kicked,
};

static void take_rules(struct net_queue *queue)
{
	queue->rules = load_acquire(&queue->net->rules);
}

/* Where the coalescer finds what a receive queue's guest sends. */
static const uint64_t *sent_counter(const struct net_queue *queue)
{
	const unsigned idx = queue->queue.idx + 1;
	const struct device *device = queue->queue.device;
	struct device_queue *pair = idx < device->queue_max ? device_queue_get(device, idx) : NULL;

	/* It stays where it is as long as the device. */
	return pair ? &net_of_queue(pair)->stats.tx_frames : NULL;
}

static void set_port(struct net_queue *queue)
{
	if (queue->kind == NET_QUEUE_RX)
		queue->port = (struct virtqueue_port){
			.frames = &queue->stats.rx_frames,
			.bytes = &queue->stats.rx_bytes,
			.sent = sent_counter(queue),
			.receive = true,
		};
	else
		queue->port = (struct virtqueue_port){
			.frames = &virtqueue_stats(queue->queue.vq)->completed,
			.bytes = &queue->stats.tx_bytes,
		};
}

/* What the driver said of this queue goes over what the host says. */
static struct coalesce_config coalesce_of(const struct net_queue *queue)
{
	struct coalesce_config config = queue->coalesce_host;
	const struct net_coalesce *guest;

	if (queue->kind != NET_QUEUE_RX && queue->kind != NET_QUEUE_TX) {
		/* One command at a time: there is nothing to wait for. */
		config.mode = COALESCE_OFF;
		return config;
	}
	guest = &queue->rules->coalesce[queue->queue.idx];
	if (!guest->given)
		return config;
	return (struct coalesce_config){
		.mode = COALESCE_STATIC,
		.packets = guest->packets,
		.usecs = guest->usecs,
		.by_guest = true,
	};
}

void net_queue_coalesce(struct net_queue *queue)
{
	const struct coalesce_config config = coalesce_of(queue);
	struct coalesce_view now;

	set_port(queue);
	virtqueue_coalesce_view(queue->queue.vq, &now);
	/* What stays as it is keeps what it has learnt, and holds what it holds. */
	if (config.mode == now.config.mode && config.packets == now.config.packets &&
	    config.usecs == now.config.usecs && config.by_guest == now.config.by_guest)
		return;
	virtqueue_set_coalesce(queue->queue.vq, &config);
}

static void queue_coalesce_on_worker(struct device_queue *base, const struct coalesce_config *host)
{
	struct net_queue *queue = net_of_queue(base);

	queue->coalesce_host = *host;
	net_queue_coalesce(queue);
}

static void queue_told_on_worker(struct device_queue *base)
{
	struct net_queue *queue = net_of_queue(base);

	take_rules(queue);
	net_queue_coalesce(queue);
	/* VIRTIO 1.3, 5.1.6.5: a call that was held is looked at by the bounds of now. */
	if (virtqueue_held_until_ns(base->vq))
		worker_poller_wake(&base->poller);
	if (queue->kind == NET_QUEUE_RX)
		net_rx_told(queue);
}

static int queue_open_on_worker(struct device_queue *base, struct worker *worker, struct err *err)
{
	struct net_queue *queue = net_of_queue(base);
	struct net_device *net = net_of_device(base->device);

	queue->net = net;
	queue->kind = net_queue_kind(net->device.acked, net->pairs_max, base->idx);
	queue->exchange = fabric_exchange(net->fabric, worker);
	queue->enabled = false;
	take_rules(queue);
	switch (queue->kind) {
	case NET_QUEUE_RX:
		return net_rx_open(queue, err);
	case NET_QUEUE_TX:
		return net_tx_open(queue, err);
	case NET_QUEUE_CONTROL:
		return 0;
	case NET_QUEUE_NONE:
		break;
	}
	return err_set(err, EINVAL, "the driver has no queue %u with the features that it took",
		       base->idx);
}

static void queue_enable_on_worker(struct device_queue *base, bool enabled)
{
	struct net_queue *queue = net_of_queue(base);

	if (queue->enabled == enabled)
		return;
	/* By now its pair is there. */
	set_port(queue);
	if (queue->kind != NET_QUEUE_RX)
		queue->enabled = enabled;
	else if (enabled)
		net_rx_enable(queue);
	else
		net_rx_disable(queue, false);
}

static void queue_close_on_worker(struct device_queue *base)
{
	struct net_queue *queue = net_of_queue(base);

	if (queue->kind == NET_QUEUE_RX)
		net_rx_disable(queue, false);
	else if (queue->kind == NET_QUEUE_TX)
		net_tx_close(queue);
}

/* Buffers that were taken in advance are of the old memory. */
static void queue_memory_on_worker(struct device_queue *base)
{
	struct net_queue *queue = net_of_queue(base);

	if (queue->kind == NET_QUEUE_RX)
		net_rx_unfetch(queue);
}

/* ---- a queue that moves ---- */

static struct net_remainder *remainder_of(struct device_remainder *base)
{
	return (struct net_remainder *)(void *)base;
}

static unsigned queue_detach_on_worker(struct device_queue *base, struct device_remainder *rem)
{
	struct net_queue *queue = net_of_queue(base);

	switch (queue->kind) {
	case NET_QUEUE_RX:
		net_rx_disable(queue, true);
		return 0;
	case NET_QUEUE_TX:
		return net_tx_detach(queue, remainder_of(rem));
	default:
		return net_control_detach(queue, remainder_of(rem));
	}
}

static unsigned remainder_reap_on_worker(struct device_remainder *base)
{
	struct net_remainder *rem = remainder_of(base);

	return rem->tx ? net_tx_reap(rem) : net_control_reap(rem);
}

static void remainder_close_on_worker(struct device_remainder *base)
{
	struct net_remainder *rem = remainder_of(base);

	if (rem->tx)
		net_tx_free(rem->tx);
	rem->tx = NULL;
}

static unsigned queue_adopt(struct device_queue *base, struct device_remainder *rem,
			    uint64_t now_ns)
{
	struct net_slot *at = rem->batch ? net_of_slot(rem->batch) : NULL;
	unsigned total = 0;

	while (at) {
		struct vq_slot *slots[VIRTQUEUE_BURST];
		unsigned cnt = 0;

		for (; at && cnt < VIRTQUEUE_BURST; at = at->next)
			slots[cnt++] = &at->slot;
		virtqueue_complete(base->vq, base->pool, slots, cnt);
		total += cnt;
	}
	/* They have waited long enough. */
	(void)now_ns;
	if (total)
		virtqueue_notify(base->vq);
	return total;
}

static void remainder_retire(struct device_remainder *rem)
{
	(void)rem; /* it counts nothing of its own */
}

/* ---- control ---- */

static void table(unsigned idx, struct stat_table *out)
{
	(void)idx; /* there is one */
	*out = (struct stat_table){
		.name = "frames",
		.rows = net_stat_rows,
		.row_cnt = net_stat_row_cnt,
		.bytes = sizeof(struct net_stats),
	};
}

static void queue_table_add(const struct device_queue *base, unsigned idx, void *sum)
{
	const struct net_queue *queue = (const struct net_queue *)(const void *)base;

	(void)idx;
	stat_sum(sum, &queue->stats, sizeof(queue->stats));
}

static const struct device_ops net_device_ops = {
	.kind = "port",
	.virtio_id = 1,
	.queue_bytes = sizeof(struct net_queue),
	.remainder_bytes = sizeof(struct net_remainder),
	.slot_bytes = sizeof(struct net_slot),
	.poller_ops = &net_poller_ops,
	.feature_name = net_feature_name,
	.features_acked = net_features_acked,
	.config_fill = net_config_fill,
	.config_write = net_config_write,
	.queue_open_on_worker = queue_open_on_worker,
	.queue_close_on_worker = queue_close_on_worker,
	.queue_memory_on_worker = queue_memory_on_worker,
	.queue_detach_on_worker = queue_detach_on_worker,
	.remainder_reap_on_worker = remainder_reap_on_worker,
	.remainder_close_on_worker = remainder_close_on_worker,
	.queue_adopt = queue_adopt,
	.remainder_retire = remainder_retire,
	.serves_disabled = true,
	.queue_enable_on_worker = queue_enable_on_worker,
	.queue_told_on_worker = queue_told_on_worker,
	.queue_coalesce_on_worker = queue_coalesce_on_worker,
	.queue_is_told = net_queue_is_told,
	.queue_group = net_queue_group,
	.queue_changed = net_queue_changed,
	.message = net_message,
	.table_cnt = 1,
	.table = table,
	.queue_table_add = queue_table_add,
};
_Static_assert(sizeof(struct net_queue) % CACHE_LINE_BYTES == 0, "allocated by whole lines");
_Static_assert(sizeof(struct net_remainder) % CACHE_LINE_BYTES == 0, "allocated by whole lines");

const struct stat_table *net_stat_tables(unsigned *cnt)
{
	static struct stat_table tables[DEVICE_TABLES_MAX];

	*cnt = device_tables_init(&net_device_ops, tables);
	return tables;
}

static int check_options(const struct net_options *options, struct err *err)
{
	if (options->queue_pairs < 1 || options->queue_pairs > NET_PAIRS_MAX)
		return err_set(err, EINVAL, "queue-pairs: %u is not within 1 to %u",
			       options->queue_pairs, NET_PAIRS_MAX);
	if (options->mtu && options->mtu < NET_MTU_MIN)
		return err_set(err, EINVAL, "mtu: %u is not within %u to %u", options->mtu,
			       NET_MTU_MIN, NET_MTU_MAX);
	if (options->mac[0] & 1)
		return err_set(err, EINVAL, "mac: a multicast address cannot be a port's");
	return net_steer_check(&options->steering, options->queue_pairs, err);
}

static int init(struct net_device *net, const struct net_options *options, struct evloop *control,
		struct err *err)
{
	const unsigned rings = 2 * options->queue_pairs + 1;
	const struct device_setup setup = {
		.name = options->name,
		.features = net_features_offered(options),
		.queues = rings,
		/* QEMU and DPDK count pairs; User-Mode Linux and crosvm count rings. */
		.queue_cnt_said = options->queue_num_rings ? rings : options->queue_pairs,
		.tuning = options->tuning,
		.workers = options->workers,
		.worker_cnt = options->worker_cnt,
		.worker_shift = options->worker_shift,
	};
	int status = device_init(&net->device, &net_device_ops, &setup, err);

	if (status)
		return status;
	net->loop = control;
	net->fabric = options->fabric;
	net->port = options->port;
	net->pairs_max = options->queue_pairs;
	net->options = *options;
	net->options.name = net->device.name;
	net->options.workers = NULL;
	status = net_control_new(net, err);
	if (status)
		device_fini(&net->device);
	return status;
}

int net_device_new(const struct net_options *options, struct evloop *control, struct device **out,
		   struct err *err)
{
	struct net_device *net;
	int status = check_options(options, err);

	if (status)
		return status;
	net = calloc(1, sizeof(*net));
	if (!net)
		return err_set(err, ENOMEM, "no memory for the device");
	status = init(net, options, control, err);
	if (status) {
		free(net);
		return status;
	}
	*out = &net->device;
	return 0;
}

void net_device_free(struct device *device)
{
	struct net_device *net;

	if (!device)
		return;
	net = net_of_device(device);
	for (unsigned i = 0; i < device->queue_max; i++) {
		if (device->queues[i])
			net_rx_free(net_of_queue(device->queues[i])->rx);
	}
	net_control_free(net);
	device_fini(device);
	free(net);
}
