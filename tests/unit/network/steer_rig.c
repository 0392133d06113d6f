/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the tests of steering. Not a test.
 */
#include "steer_rig.h"

#include <string.h>

#include "base/check.h"

uint32_t steer_published[STEER_RIG_FLOWS];

/* Behind Ethernet, IPv4 and UDP. */
#define NUMBER_OFFSET (14 + 20 + 8)
struct number {
	uint32_t flow, sequence;
};

/* --- queues --- */

static void publish(struct steer_queue *queue)
{
	for (unsigned i = 0; i < queue->pending_cnt; i++) {
		const uint32_t flow = queue->pending[i].flow;
		const uint32_t before = __atomic_exchange_n(
			&steer_published[flow], queue->pending[i].sequence, __ATOMIC_SEQ_CST);

		CHECK(before < queue->pending[i].sequence);
		add(&queue->flow_cnt[flow], 1);
	}
	add(&queue->frame_cnt, queue->pending_cnt);
	queue->pending_cnt = 0;
}

static void deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
		    uint64_t now_ns)
{
	struct steer_queue *queue = (struct steer_queue *)(void *)receiver;

	(void)now_ns;
	for (unsigned i = 0; i < cnt; i++) {
		struct number number;

		memcpy(&number, frames[i]->head + NUMBER_OFFSET, sizeof(number));
		CHECK(number.flow < STEER_RIG_FLOWS);
		CHECK(queue->pending_cnt < STEER_RIG_PENDING);
		queue->pending[queue->pending_cnt].flow = number.flow;
		queue->pending[queue->pending_cnt++].sequence = number.sequence;
		exchange_put(receiver->exchange, frames[i]);
	}
}

static void flush(struct netport_queue *receiver, uint64_t now_ns)
{
	struct steer_queue *queue = (struct steer_queue *)(void *)receiver;

	(void)now_ns;
	if (!queue->full)
		publish(queue);
}

static bool waits(struct netport_queue *receiver)
{
	const struct steer_queue *queue = (struct steer_queue *)(void *)receiver;

	return queue->full && queue->pending_cnt > 0;
}

static const struct netport_ops queue_ops = {
	.kind = "ring",
	.deliver = deliver,
	.flush = flush,
	.waits = waits,
};

struct queue_order {
	struct steer_port *port;
	struct steer_queue *queue;
	unsigned idx;
	bool flag;
};

static void order_open(struct worker *worker, void *arg)
{
	struct queue_order *order = arg;

	order->queue->queue.ops = &queue_ops;
	netport_queue_open(&order->queue->queue, order->port->port.port, order->idx,
			   fabric_exchange(order->port->port.rig->fabric, worker));
}

static void order_close(struct worker *worker, void *arg)
{
	struct queue_order *order = arg;

	(void)worker;
	netport_queue_close(&order->queue->queue, order->flag);
	if (!order->flag)
		order->queue->pending_cnt = 0;
}

static void order_full(struct worker *worker, void *arg)
{
	struct queue_order *order = arg;

	(void)worker;
	order->queue->full = order->flag;
	if (!order->flag)
		publish(order->queue);
}

static void give_order(struct steer_port *port, unsigned idx, unsigned worker,
		       void (*fn)(struct worker *worker, void *arg), bool flag)
{
	struct queue_order order = {port, &port->queues[idx], idx, flag};

	rig_call(port->port.rig, worker, fn, &order);
}

void steer_queue_open(struct steer_port *port, unsigned idx, unsigned worker)
{
	give_order(port, idx, worker, order_open, false);
	port->queues[idx].worker = worker;
	port->queues[idx].open = true;
}

void steer_queue_close(struct steer_port *port, unsigned idx, bool moving)
{
	give_order(port, idx, port->queues[idx].worker, order_close, moving);
	port->queues[idx].open = false;
}

void steer_queue_move(struct steer_port *port, unsigned idx, unsigned worker)
{
	steer_queue_close(port, idx, true);
	steer_queue_open(port, idx, worker);
}

void steer_queue_set_full(struct steer_port *port, unsigned idx, bool full)
{
	give_order(port, idx, port->queues[idx].worker, order_full, full);
}

void steer_port_open(struct rig *rig, struct steer_port *port)
{
	memset(port, 0, sizeof(*port));
	memset(steer_published, 0, sizeof(steer_published));
	rig_port_open(rig, &port->port, NULL, -1);
	netport_set_receivers(port->port.port, STEER_RIG_QUEUES);
}

void steer_port_close(struct steer_port *port)
{
	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++) {
		if (port->queues[i].open)
			steer_queue_close(port, i, false);
	}
	rig_port_close(&port->port);
}

unsigned steer_port_frames(const struct steer_port *port)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < STEER_RIG_QUEUES; i++)
		sum += get(&port->queues[i].frame_cnt);
	return sum;
}

/* --- steering --- */

struct heard {
	struct join join; /* first */
	bool done;
};

static void heard_all(struct join *join)
{
	((struct heard *)(void *)join)->done = true;
}

static void set_steering(struct rig_port *port, const struct steering_options *options)
{
	struct heard heard = {0};
	struct steering *steering;
	struct err err = ERR_INIT;

	if (steering_new(options, STEER_RIG_QUEUES, &steering, &err))
		fail_msg("%s", err.text);
	join_open(&heard.join, heard_all);
	netport_set_steering(port->port, steering, &heard.join);
	join_done(&heard.join, 0);
	rig_until(port->rig, heard.done);
	assert_int_equal(heard.join.status, 0);
	assert_ptr_equal(netport_steering(port->port), steering);
}

void steer_set_table(struct steer_port *port, unsigned table_cnt, const uint16_t *queue_of,
		     unsigned cnt)
{
	struct steering_options options = {
		.kind = STEERING_TABLE,
		.types = HASH_TYPES_ALL,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = table_cnt,
	};

	memcpy(options.key, toeplitz_key_default, sizeof(options.key));
	for (unsigned i = 0; i < table_cnt; i++)
		options.table[i] = queue_of[i % cnt];
	set_steering(&port->port, &options);
}

void steer_set_kind(struct rig_port *port, enum steering_kind kind)
{
	set_steering(port, &(struct steering_options){.kind = kind});
}

/* --- senders --- */

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void fill(const struct steer_sender *sender, struct frame *frame, uint32_t flow,
		 uint32_t sequence)
{
	const struct number number = {flow, sequence};
	const struct rig_head head = {
		.to = sender->to, .from = sender->from, .tci = RIG_NO_TAG, .type = 0x0800};
	uint8_t *ip = frame->head + ETHER_HEADER_BYTES;
	uint8_t *source = ip + 12, *destination = ip + 16;

	rig_fill_head(frame->head, &head);
	memset(ip, 0, 28);
	ip[0] = 0x45;
	put16(ip + 2, 20 + 8 + sizeof(number));
	ip[9] = IP_PROTO_UDP;
	source[0] = destination[0] = 10;
	source[3] = sender->reverse ? 2 : 1;
	destination[3] = sender->reverse ? 1 : 2;
	put16(ip + 20, sender->reverse ? 7 : 1000 + flow);
	put16(ip + 22, sender->reverse ? 1000 + flow : 7);
	put16(ip + 24, 8 + sizeof(number));
	memcpy(frame->head + NUMBER_OFFSET, &number, sizeof(number));
	frame->head_bytes = NUMBER_OFFSET + sizeof(number);
	frame->bytes = frame->head_bytes;
}

void steer_send_on_worker(struct steer_sender *sender, unsigned queue_idx, const uint32_t *flows,
			  const uint32_t *sequences, unsigned cnt, uint64_t now_ns)
{
	struct frame *frames[NETPORT_BURST];
	unsigned back = 0;

	for (unsigned i = 0; i < cnt; i++) {
		frames[i] = rig_sender_take(&sender->sender);
		fill(sender, frames[i], flows[i], sequences[i]);
	}
	add(&sender->sender.sent, cnt);
	netport_send(sender->port->port, sender->sender.source.exchange, queue_idx, frames, cnt,
		     now_ns);
	for (unsigned i = 0; i < cnt; i++)
		back += --frames[i]->refs == 0;
	add(&sender->sender.back, back);
}

struct send_order {
	struct steer_sender *sender;
	unsigned queue_idx;
	uint32_t flow, first;
	unsigned cnt;
};

static void order_send(struct worker *worker, void *arg)
{
	struct send_order *order = arg;
	uint32_t flows[NETPORT_BURST], sequences[NETPORT_BURST];

	while (order->cnt > 0) {
		const unsigned cnt = order->cnt < NETPORT_BURST ? order->cnt : NETPORT_BURST;

		for (unsigned i = 0; i < cnt; i++) {
			flows[i] = order->flow;
			sequences[i] = order->first++;
		}
		steer_send_on_worker(order->sender, order->queue_idx, flows, sequences, cnt,
				     worker_now_ns(worker));
		order->cnt -= cnt;
	}
}

void steer_send(struct steer_sender *sender, unsigned queue_idx, uint32_t flow, uint32_t first,
		unsigned cnt)
{
	struct send_order order = {sender, queue_idx, flow, first, cnt};

	rig_call(sender->sender.rig, sender->sender.worker, order_send, &order);
}
