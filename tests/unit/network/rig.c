/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixture of the network tests. Not a test.
 */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

struct rig *rig_new(unsigned worker_cnt, const struct netswitch_options *options,
		    enum poll_mode mode)
{
	struct netswitch_options sw = options ? *options : (struct netswitch_options){0};
	struct rig *rig = calloc(1, sizeof(*rig));
	struct err err = ERR_INIT;

	assert_non_null(rig);
	rig->loop = evloop_new(&err);
	assert_non_null(rig->loop);
	rig->worker_cnt = worker_cnt;
	for (unsigned i = 0; i < worker_cnt; i++) {
		const struct worker_options worker = {.cpu = -1, .idx = i};

		if (worker_new(&worker, rig->loop, &rig->workers[i], &err) < 0)
			fail_msg("%s", err.text);
	}
	const struct fabric_options fabric = {
		.workers = rig->workers,
		.worker_cnt = worker_cnt,
		.poll_mode = mode,
		.poll_max_ns = 200 * NS_PER_US,
	};
	if (fabric_new(&fabric, rig->loop, &rig->fabric, &err) < 0)
		fail_msg("%s", err.text);
	sw.name = "lan";
	if (sw.mac_table_size == 0)
		sw.mac_table_size = 1024;
	if (sw.mac_aging_s == 0)
		sw.mac_aging_s = 300;
	if (netswitch_new(&sw, rig->fabric, &rig->sw, &err) < 0)
		fail_msg("%s", err.text);
	return rig;
}

void rig_count_closed(void *arg)
{
	((struct rig *)arg)->closed++;
}

void rig_free(struct rig *rig)
{
	const unsigned closed = rig->closed;

	netswitch_free(rig->sw, rig_count_closed, rig);
	fabric_free(rig->fabric, rig_count_closed, rig);
	rig_until(rig, rig->closed == closed + 2);
	for (unsigned i = 0; i < rig->worker_cnt; i++)
		worker_free(rig->workers[i]);
	evloop_free(rig->loop);
	free(rig);
}

struct waiting_call {
	struct worker_call call;
	void (*fn)(struct worker *worker, void *arg);
	void *arg;
	bool done;
};

static void waiting_run(struct worker *worker, struct worker_call *call)
{
	struct waiting_call *waiting = container_of(call, struct waiting_call, call);

	waiting->fn(worker, waiting->arg);
	worker_call_ack(call);
}

static void waiting_done(struct worker_call *call)
{
	container_of(call, struct waiting_call, call)->done = true;
}

void rig_call(struct rig *rig, unsigned worker, void (*fn)(struct worker *worker, void *arg),
	      void *arg)
{
	struct waiting_call waiting = {
		.call = {.run_on_worker = waiting_run, .done_on_control = waiting_done},
		.fn = fn,
		.arg = arg,
	};

	worker_call(rig->workers[worker], &waiting.call);
	rig_until(rig, waiting.done);
}

struct exchange *rig_exchange(struct rig *rig, unsigned worker)
{
	return fabric_exchange(rig->fabric, rig->workers[worker]);
}

/* --- queues --- */

static void queue_note(struct rig_queue *queue, const struct frame *frame)
{
	const enum netport_tag_edit edit = netport_tag_edit(queue->queue.port, frame);

	queue->vlan = frame->vlan;
	queue->head_bytes = netport_edit_head(frame, edit, queue->head);
	if (queue->on_frame)
		queue->on_frame(queue, frame);
}

static void queue_keep(struct rig_queue *queue, struct frame *frame)
{
	const bool may = exchange_may_keep(queue->queue.exchange, frame);

	if (!may) {
		add(&queue->refused, 1);
		exchange_put(queue->queue.exchange, frame);
		return;
	}
	CHECK(queue->kept_cnt < RIG_FRAMES);
	queue->kept[queue->kept_cnt] = frame;
	add(&queue->kept_cnt, 1);
}

static void queue_deliver(struct netport_queue *receiver, struct frame *const *frames, unsigned cnt,
			  uint64_t now_ns)
{
	struct rig_queue *queue = (struct rig_queue *)(void *)receiver;

	(void)now_ns;
	CHECK(cnt >= 1 && cnt <= NETPORT_BURST);
	for (unsigned i = 0; i < cnt; i++) {
		queue_note(queue, frames[i]);
		if (queue->keeps)
			queue_keep(queue, frames[i]);
		else
			exchange_put(receiver->exchange, frames[i]);
	}
	add(&queue->deliver_cnt, 1);
	add(&queue->frame_cnt, cnt);
}

static void queue_flush(struct netport_queue *receiver, uint64_t now_ns)
{
	(void)now_ns;
	add(&((struct rig_queue *)(void *)receiver)->flush_cnt, 1);
}

static const struct netport_ops queue_ops = {
	.kind = "fake",
	.deliver = queue_deliver,
	.flush = queue_flush,
};

struct queue_order {
	struct rig_port *port;
	struct rig_queue *queue;
	unsigned idx;
};

static void order_open(struct worker *worker, void *arg)
{
	struct queue_order *order = arg;

	order->queue->queue.ops = &queue_ops;
	netport_queue_open(&order->queue->queue, order->port->port, order->idx,
			   fabric_exchange(order->port->rig->fabric, worker));
}

static void order_release(struct worker *worker, void *arg)
{
	struct rig_queue *queue = ((struct queue_order *)arg)->queue;
	struct exchange *exchange = queue->queue.exchange;

	(void)worker;
	for (unsigned i = 0; i < queue->kept_cnt; i++)
		exchange_put_kept(exchange, queue->kept[i]);
	__atomic_store_n(&queue->kept_cnt, 0, __ATOMIC_RELEASE);
}

static void order_close(struct worker *worker, void *arg)
{
	order_release(worker, arg);
	netport_queue_close(&((struct queue_order *)arg)->queue->queue, false);
}

void rig_queue_open(struct rig_port *port, unsigned idx, unsigned worker)
{
	struct queue_order order = {port, &port->queues[idx], idx};

	order.queue->rig = port->rig;
	order.queue->worker = worker;
	rig_call(port->rig, worker, order_open, &order);
	order.queue->open = true;
}

void rig_queue_close(struct rig_port *port, unsigned idx)
{
	struct queue_order order = {port, &port->queues[idx], idx};

	rig_call(port->rig, order.queue->worker, order_close, &order);
	order.queue->open = false;
}

void rig_queue_release(struct rig_port *port, unsigned idx)
{
	struct queue_order order = {port, &port->queues[idx], idx};

	rig_call(port->rig, order.queue->worker, order_release, &order);
}

void rig_port_open(struct rig *rig, struct rig_port *port, const struct netport_options *options,
		   int worker)
{
	struct netport_options own = options ? *options : (struct netport_options){0};
	struct err err = ERR_INIT;

	memset(port, 0, sizeof(*port));
	port->rig = rig;
	own.netswitch = rig->sw;
	if (!own.name)
		own.name = "port";
	if (netport_open(&own, &port->port, &err) < 0)
		fail_msg("%s", err.text);
	if (worker >= 0)
		rig_queue_open(port, 0, (unsigned)worker);
}

void rig_port_close(struct rig_port *port)
{
	const unsigned closed = port->rig->closed;

	for (unsigned i = 0; i < ARRAY_LEN(port->queues); i++) {
		if (port->queues[i].open)
			rig_queue_close(port, i);
	}
	netport_close(port->port, rig_count_closed, port->rig);
	rig_until(port->rig, port->rig->closed > closed);
}

unsigned rig_port_frames(const struct rig_port *port)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < ARRAY_LEN(port->queues); i++)
		sum += get(&port->queues[i].frame_cnt);
	return sum;
}

/* --- senders --- */

static void sender_returned(struct frame_source *source, struct frame *const *frames, unsigned cnt)
{
	struct rig_sender *sender = (struct rig_sender *)(void *)source;

	for (unsigned i = 0; i < cnt; i++)
		CHECK(frames[i]->refs == 0);
	add(&sender->back, cnt);
}

void rig_sender_init(struct rig_sender *sender, struct rig *rig, unsigned worker)
{
	*sender = (struct rig_sender){
		.source = {.exchange = rig_exchange(rig, worker), .returned = sender_returned},
		.rig = rig,
		.worker = worker,
		.frames = calloc(RIG_FRAMES, sizeof(struct frame)),
	};
	assert_non_null(sender->frames);
}

void rig_sender_fini(struct rig_sender *sender)
{
	rig_until(sender->rig, get(&sender->back) == get(&sender->sent));
	for (unsigned i = 0; i < RIG_FRAMES; i++)
		assert_int_equal(sender->frames[i].refs, 0);
	free(sender->frames);
}

void rig_mac_bytes(uint64_t mac, uint8_t *bytes)
{
	for (unsigned i = 0; i < ETHER_MAC_BYTES; i++)
		bytes[i] = (uint8_t)(mac >> (8 * (ETHER_MAC_BYTES - 1 - i)));
}

static unsigned put16(uint8_t *head, unsigned at, unsigned value)
{
	head[at] = (uint8_t)(value >> 8);
	head[at + 1] = (uint8_t)value;
	return at + 2;
}

unsigned rig_fill_head(uint8_t *head, const struct rig_head *what)
{
	unsigned at = 2 * ETHER_MAC_BYTES;

	rig_mac_bytes(what->to, head);
	rig_mac_bytes(what->from, head + ETHER_MAC_BYTES);
	if (what->tci >= 0) {
		at = put16(head, at, ETHER_TYPE_VLAN);
		at = put16(head, at, (unsigned)what->tci);
	}
	at = put16(head, at, what->type ? what->type : 0x88b5);
	return put16(head, at, what->payload);
}

struct frame *rig_sender_take(struct rig_sender *sender)
{
	struct frame *frame = NULL;

	for (unsigned i = 0; i < RIG_FRAMES && (!frame || frame->refs > 0); i++)
		frame = &sender->frames[sender->next++ % RIG_FRAMES];
	CHECK(frame->refs == 0);
	memset(frame, 0, offsetof(struct frame, head));
	frame->source = &sender->source;
	frame->bytes = 60;
	frame->refs = 1;
	return frame;
}

void rig_sender_send(struct rig_sender *sender, struct netport *port, struct frame *const *frames,
		     unsigned cnt, uint64_t now_ns)
{
	unsigned back = 0;

	add(&sender->sent, cnt);
	netport_send(port, sender->source.exchange, 0, frames, cnt, now_ns);
	for (unsigned i = 0; i < cnt; i++)
		back += --frames[i]->refs == 0;
	add(&sender->back, back);
}

struct send_order {
	struct rig_sender *sender;
	struct netport *port;
	const struct rig_head *heads;
	unsigned cnt;
	uint64_t now_ns;
};

static void order_send(struct worker *worker, void *arg)
{
	struct send_order *order = arg;
	struct frame *frames[NETPORT_BURST];

	for (unsigned i = 0; i < order->cnt; i++) {
		frames[i] = rig_sender_take(order->sender);
		frames[i]->head_bytes = (uint16_t)rig_fill_head(frames[i]->head, &order->heads[i]);
	}
	rig_sender_send(order->sender, order->port, frames, order->cnt,
			order->now_ns ? order->now_ns : worker_now_ns(worker));
}

void rig_send_at(struct rig_sender *sender, struct rig_port *port, const struct rig_head *heads,
		 unsigned cnt, uint64_t now_ns)
{
	struct send_order order = {sender, port->port, heads, cnt, now_ns};

	rig_call(sender->rig, sender->worker, order_send, &order);
}

void rig_send(struct rig_sender *sender, struct rig_port *port, const struct rig_head *heads,
	      unsigned cnt)
{
	rig_send_at(sender, port, heads, cnt, 0);
}

struct netport_stats rig_stats(const struct rig_port *port)
{
	struct netport_stats stats;

	netport_stats(port->port, &stats);
	return stats;
}
