/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control queue: commands from the ring to the control thread and back, and the control side's
 * own state.
 * Not what commands do (control_execute.c), nor the rules that come of them (rules.c).
 *
 * Theory of operation
 *
 * 1. One command of a device at a time. The owner copies it out of the chain, once, and all that is
 *    judged is the copy; then the chain waits. The command is posted to the control thread, which
 *    executes it, brings new rules to the queues if there are any, and sends the result back by a
 *    worker_call to the worker where it was fetched.
 * 2. There the queue may have left: the chain is part of its remainder then, whose poller finds it
 *    answered. Either way the answer is written on that worker, where the chain's iovecs are from.
 *    `busy` keeps the queue's next owner from taking another command before that.
 * 3. A queue that stops, or whose memory changes, waits for its command. So the control queue is
 *    never told of rules (net_queue_is_told): it would wait for itself.
 * 4. The driver's state ends with a reset of the device, with other features, and when the control
 *    queue starts with a ring that was never served: not all front ends tell of the driver's reset.
 * 5. A VMM may serve the control queue itself (QEMU). Then it does not run here, nothing is
 *    filtered, and what is enabled says how many queues receive.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "device/net/control_priv.h"
#include "guest/iov.h"

/* Malformed commands, and those that are answered at once, in one turn. */
#define COMMANDS_PER_TURN 32

/* ---- owner worker, or the one that it left ---- */

/* Bytes of the answer that were written. ERR and nothing else where the chain is bad. */
static uint32_t write_answer(struct vq_slot *slot, uint8_t ack, const uint8_t *result,
			     uint32_t result_bytes)
{
	struct iov_cursor cursor;
	uint32_t written;

	if (!slot->in_cnt || (slot->error && !slot->tail_in))
		return 0;
	iov_cursor_init(&cursor, slot->iov + slot->out_cnt, slot->in_cnt);
	written = (uint32_t)iov_copy_out(&cursor, &ack, sizeof(ack));
	if (!slot->error && result_bytes)
		written += (uint32_t)iov_copy_out(&cursor, result, result_bytes);
	return written;
}

void net_command_answer(const struct net_command *command, struct vq_slot *chain)
{
	chain->used_bytes =
		write_answer(chain, command->ack, command->result, command->result_bytes);
}

bool net_command_take(struct net_command *command, struct vq_slot *chain)
{
	struct iov_cursor cursor;

	if (chain->error || !chain->in_bytes || chain->out_bytes < NET_COMMAND_BYTES_MIN ||
	    chain->out_bytes > NET_COMMAND_BYTES_MAX) {
		chain->used_bytes = write_answer(chain, NET_ERR, NULL, 0);
		return false;
	}
	iov_cursor_init(&cursor, chain->iov, chain->out_cnt);
	command->bytes = (uint32_t)iov_copy_in(&cursor, command->data, chain->out_bytes);
	command->result_bytes = 0;
	return true;
}

static void answer(struct net_command *command, struct net_slot *slot)
{
	net_command_answer(command, &slot->slot);
	/* The command is free for whoever owns the queue now. */
	store_release(&command->busy, false);
}

static void answered_on_worker(struct worker *worker, struct worker_call *call)
{
	struct net_command *command = container_of(call, struct net_command, call);

	(void)worker;
	command->answered = true;
	if (command->remainder)
		worker_poller_wake(&command->remainder->remainder.poller);
	else
		worker_poller_wake(&command->queue->queue.poller);
	worker_call_ack(call);
}

static void execute_on_control(struct evloop_post *post);

/* False: it is no command, and was answered. */
static bool begin_command(struct net_queue *queue, struct net_slot *slot)
{
	struct net_command *command = &queue->net->control->command;

	if (!net_command_take(command, &slot->slot)) {
		stat_inc(&queue->stats.control_malformed);
		return false;
	}
	stat_inc(&queue->stats.control_commands);
	command->answered = false;
	command->queue = queue;
	command->remainder = NULL;
	command->worker = queue->queue.poller.worker;
	command->post.run = execute_on_control;
	store_relaxed(&command->busy, true);
	queue->command = slot;
	evloop_post(queue->net->loop, &command->post);
	return true;
}

static void complete(struct net_queue *queue, struct net_slot *slot)
{
	struct vq_slot *chain = &slot->slot;

	virtqueue_complete(queue->queue.vq, queue->queue.pool, &chain, 1);
}

unsigned net_control_poll(struct net_queue *queue, uint64_t now_ns)
{
	struct net_command *command = &queue->net->control->command;
	unsigned taken = 0, given_back = 0;

	if (queue->command && command->answered) {
		answer(command, queue->command);
		complete(queue, queue->command);
		queue->command = NULL;
		given_back++;
	}
	while (taken < COMMANDS_PER_TURN && !load_acquire(&command->busy) && queue->enabled &&
	       device_queue_may_fetch(&queue->queue)) {
		struct vq_slot *chain;

		if (!virtqueue_fetch(queue->queue.vq, queue->queue.pool, &chain, 1))
			break;
		taken++;
		if (begin_command(queue, net_of_slot(chain)))
			break;
		complete(queue, net_of_slot(chain));
		given_back++;
	}
	device_queue_notify(&queue->queue, given_back, now_ns);
	return taken + given_back;
}

unsigned net_control_detach(struct net_queue *queue, struct net_remainder *rem)
{
	if (!queue->command)
		return 0;
	rem->command = queue->command;
	queue->net->control->command.remainder = rem;
	queue->command = NULL;
	return 1;
}

unsigned net_control_reap(struct net_remainder *rem)
{
	struct net_device *net = net_of_device(rem->remainder.queue->device);
	struct net_command *command = &net->control->command;

	if (!command->answered)
		return 0;
	answer(command, rem->command);
	chain_iov_release(rem->remainder.pool, &rem->command->slot);
	return 1;
}

/* ---- control: a command ---- */

static void call_done(struct worker_call *call)
{
	(void)call; /* the worker has the result; what follows is posted by the next command */
}

static void send_back(struct net_device *net)
{
	struct net_control *control = net->control;
	struct net_command *command = &control->command;

	control->command_cnt++;
	if (command->ack == NET_OK)
		control->ok_cnt++;
	else
		stat_inc(&command->queue->stats.control_refused);
	command->call.run_on_worker = answered_on_worker;
	command->call.done_on_control = call_done;
	worker_call(command->worker, &command->call);
}

static void rules_taken(struct join *join)
{
	send_back(container_of(join, struct net_command, join)->net);
}

/* As if the command had not come. */
static void take_back(struct net_command *command)
{
	command->net->control->state = command->before;
	command->ack = NET_ERR;
	command->rules = false;
	net_receivers_update(command->net);
}

static void update_rules(struct net_command *command)
{
	join_open(&command->join, rules_taken);
	if (command->rules && net_rules_update(command->net, &command->join))
		take_back(command);
	join_done(&command->join, 0);
}

static void steering_taken(struct join *join)
{
	struct net_command *command = container_of(join, struct net_command, join);

	if (join->status)
		take_back(command);
	update_rules(command);
}

/*
 * Steering before the rules, which name the hashes that it computes; the answer when every worker
 * has both.
 */
static void execute_on_control(struct evloop_post *post)
{
	struct net_command *command = container_of(post, struct net_command, post);
	struct net_device *net = command->net;

	command->before = net->control->state;
	command->rules = false;
	command->ack = net_control_execute(net, &command->rules);
	if (command->data[0] != NET_CLASS_MQ || command->ack != NET_OK) {
		update_rules(command);
		return;
	}
	netport_set_receivers(net->port, net_receivers(net));
	join_open(&command->join, steering_taken);
	join_done(&command->join, net_steer_update(net, &command->join));
}

/* ---- control: the state ---- */

uint64_t net_offload_bits(void)
{
	return 1ull << NET_F_GUEST_CSUM | 1ull << NET_F_GUEST_TSO4 | 1ull << NET_F_GUEST_TSO6 |
	       1ull << NET_F_GUEST_ECN | 1ull << NET_F_GUEST_UFO | 1ull << NET_F_GUEST_USO4 |
	       1ull << NET_F_GUEST_USO6;
}

/* How many receive queues from the first on run and are enabled. */
static unsigned enabled_pairs(const struct net_device *net)
{
	unsigned pairs = 0;

	while (pairs < net->pairs_max && device_queue_running(&net->device, 2 * pairs) &&
	       device_queue_get(&net->device, 2 * pairs)->enabled_said)
		pairs++;
	return pairs;
}

unsigned net_receivers(const struct net_device *net)
{
	const struct net_control *control = net->control;
	const unsigned cnt = control->runs ? control->state.receivers : enabled_pairs(net);

	return cnt ? cnt : 1;
}

void net_receivers_update(struct net_device *net)
{
	netport_set_receivers(net->port, net_receivers(net));
	/* Without memory it stays as it is: queues that do not run are nobody's choice. */
	(void)net_steer_update(net, NULL);
}

static void forget(struct net_device *net)
{
	struct net_control *control = net->control;

	control->state = (struct net_driver_state){
		.pairs = 1,
		.receivers = 1,
		.mac_known = net->options.mac_given,
		.guest_offloads = net->device.acked & net_offload_bits(),
	};
	memcpy(control->state.mac, net->options.mac, sizeof(control->state.mac));
	control->announcing = false;
}

void net_control_reset(struct net_device *net)
{
	forget(net);
	/* The reserve is there: see rules.c, 3. While queues run a driver keeps its old filters. */
	(void)net_rules_update(net, NULL);
	net_receivers_update(net);
}

int net_control_new(struct net_device *net, struct err *err)
{
	struct net_control *control = calloc(1, sizeof(*control));

	if (!control)
		return err_set(err, ENOMEM, "no memory for the control queue");
	net->control = control;
	control->command.net = net;
	control->link_up = true;
	forget(net);
	if (net_steer_new(net, err)) {
		net_control_free(net);
		return -ENOMEM;
	}
	/* The second ones take the place of the first, which are kept for the next update. */
	for (unsigned i = 0; i < 2; i++) {
		if (net_rules_update(net, NULL)) {
			net_control_free(net);
			return err_set(err, ENOMEM, "no memory for the rules of queues");
		}
	}
	return 0;
}

void net_control_free(struct net_device *net)
{
	if (!net->control)
		return;
	CHECK(!net->control->command.busy);
	net_rarp_forget(net);
	net_steer_free(net);
	net_rules_free(net);
	free(net->control);
	net->control = NULL;
}

/* ---- control: device_ops ---- */

static enum net_queue_kind kind_of(const struct net_device *net, unsigned idx)
{
	return net_queue_kind(net->device.acked, net->pairs_max, idx);
}

bool net_queue_is_told(const struct device *device, unsigned idx)
{
	const struct net_device *net = net_of_device(device);

	return kind_of(net, idx) != NET_QUEUE_CONTROL &&
	       device_queue_get(device, idx) != net->control->starting;
}

static void control_queue_changed(struct net_device *net, unsigned idx)
{
	bool runs = device_queue_running(&net->device, idx);

	if (runs == net->control->runs)
		return;
	net->control->runs = runs;
	if (runs && device_queue_starts_fresh(&net->device, idx))
		forget(net);
	(void)net_rules_update(net, NULL);
}

static void data_queue_changed(struct net_device *net, unsigned idx)
{
	struct net_control *control = net->control;
	const bool runs = device_queue_running(&net->device, idx);
	const bool starts = runs && !control->queue_runs[idx];

	control->queue_runs[idx] = runs;
	if (!runs || !net_coalesce_queue_changed(net, idx, starts))
		return;
	if (starts)
		control->starting = device_queue_get(&net->device, idx);
	(void)net_rules_update(net, NULL);
	control->starting = NULL;
}

void net_queue_changed(struct device *device, unsigned idx)
{
	struct net_device *net = net_of_device(device);
	enum net_queue_kind kind = kind_of(net, idx);

	if (kind == NET_QUEUE_CONTROL)
		control_queue_changed(net, idx);
	else if (kind != NET_QUEUE_NONE)
		data_queue_changed(net, idx);
	/* Lost on its way from worker to worker. */
	if (kind == NET_QUEUE_RX && !device_queue_running(device, idx))
		netport_queue_gone(net->port, idx / 2);
	net_receivers_update(net);
}

static int set_mtu(struct net_device *net, uint64_t mtu, struct err *err)
{
	uint16_t before = net->control->mtu_said;

	if (!net->options.mtu)
		return err_set(err, EPERM, "mtu %llu: MTU is not offered; give the port an mtu",
			       (unsigned long long)mtu);
	if (mtu < NET_MTU_MIN || mtu > net->options.mtu)
		return err_set(err, EINVAL, "mtu %llu is not within %u to %u, the port's",
			       (unsigned long long)mtu, NET_MTU_MIN, net->options.mtu);
	net->control->mtu_said = (uint16_t)mtu;
	if (net_rules_update(net, NULL)) {
		net->control->mtu_said = before;
		return err_set(err, ENOMEM, "mtu %llu: no memory", (unsigned long long)mtu);
	}
	return 0;
}

int net_message(struct device *device, enum device_message message, uint64_t value, struct err *err)
{
	struct net_device *net = net_of_device(device);

	switch (message) {
	case DEVICE_MESSAGE_MTU:
		return set_mtu(net, value, err);
	case DEVICE_MESSAGE_RARP: {
		uint8_t mac[sizeof(value)];

		/* As it stands in memory; the front end is on this machine. */
		memcpy(mac, &value, sizeof(mac));
		return net_send_rarp(net, mac, err);
	}
	case DEVICE_MESSAGE_MAX_:
		break;
	}
	return err_set(err, ENOSYS, "not for a port");
}

/* ---- control: net.h ---- */

void net_device_set_link(struct device *device, bool up)
{
	struct net_device *net = net_of_device(device);

	if (net->control->link_up == up)
		return;
	net->control->link_up = up;
	net_config_changed(net);
}

void net_device_announce(struct device *device)
{
	struct net_device *net = net_of_device(device);
	struct net_control *control = net->control;
	struct err err = ERR_INIT;

	if (control->runs && device_has_feature(device->acked, NET_F_GUEST_ANNOUNCE)) {
		control->announcing = true;
		net_config_changed(net);
	} else if (control->state.mac_known) {
		/* One that is under way does as well. */
		(void)net_send_rarp(net, control->state.mac, &err);
	}
}

static unsigned count_bits(const uint64_t *words, unsigned cnt)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < cnt; i++)
		bits += (unsigned)__builtin_popcountll(words[i]);
	return bits;
}

void net_device_state(const struct device *device, struct net_state *state)
{
	const struct net_device *net = net_of_device(device);
	const struct net_control *control = net->control;
	const struct net_driver_state *driver = &control->state;

	*state = (struct net_state){
		.pairs = !control->runs                      ? enabled_pairs(net)
			 : driver->pairs > driver->receivers ? driver->pairs
							     : driver->receivers,
		.mtu = net_mtu(net),
		.link_up = control->link_up,
		.promisc = driver->promisc,
		.allmulti = driver->allmulti,
		.alluni = driver->alluni,
		.nomulti = driver->nomulti,
		.nouni = driver->nouni,
		.nobcast = driver->nobcast,
		.unicast_cnt = driver->unicast_cnt,
		.multicast_cnt = driver->multicast_cnt,
		.vlan_cnt = count_bits(driver->vlans, ARRAY_LEN(driver->vlans)),
		.unicast_overflow = driver->unicast_overflow,
		.multicast_overflow = driver->multicast_overflow,
		.guest_offloads = driver->guest_offloads,
	};
	memcpy(state->mac, driver->mac, sizeof(state->mac));
}
