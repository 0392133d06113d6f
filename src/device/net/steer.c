/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which steering a port has: the guest's RSS command before the host's options, and a table that
 * follows the load.
 * Not the choice of a queue for a frame (flow/steering.h), nor how a change comes to the workers
 * without reordering a flow (network/netport.h). Control thread only.
 *
 * Theory of operation
 *
 * 1. What is wanted is a function of the host's options, of what the driver set, and of how many
 *    receive queues are in use. net_steer_update() makes it up anew, whatever has changed, and
 *    gives it to the switch if it is another than the one that is there.
 * 2. One change at a time. What comes meanwhile is made up when the change has ended, once, however
 *    much it was. Whoever waits is told with the change that has what was wanted when he came.
 * 3. Rebalancing: each interval the loads of the buckets are compared with those before, the plan
 *    is applied to our table, and that is a change like others. No timer runs while one is under
 *    way, with a single queue in use, or while the guest's table is in force.
 * 4. The device may go while a change is under way; what is left of us ends with that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/net/control_priv.h"
#include "flow/balance.h"
#include "worker/join.h"

/* Entries of a table that the host did not give. To balance it, more and smaller ones. */
#define TABLE_CNT 128
#define BUCKET_CNT 256

struct steer_waiter {
	struct steer_waiter *next;
	struct join *join;
};

struct net_steer {
	struct net_device *net; /* NULL: it has gone */
	struct net_steering host;

	/* In force; all zeroes is what a port has before anything was set. */
	struct steering_options present;
	uint64_t generation;

	/* Under way, or wanted behind that. */
	bool busy, again;
	struct steering_options coming;
	uint64_t coming_generation;
	struct join round;
	struct steer_waiter *waiters, *next_waiters;

	/* REBALANCE */
	struct evloop_timer timer;
	unsigned dealt_for; /* queues that the table was dealt out to; 0: it is to be dealt anew */
	unsigned table_cnt;
	uint16_t table[STEERING_TABLE_MAX];
	uint64_t carried[STEERING_TABLE_MAX]; /* when it was looked at last */
	uint64_t carried_now[STEERING_TABLE_MAX];
	uint64_t load[STEERING_TABLE_MAX]; /* between the last two looks */
	uint64_t balanced;
	struct balance_move moves[STEERING_TABLE_MAX];
};

/* ---- what is wanted ---- */

static bool by_guest(const struct net_device *net)
{
	return net->control->runs && net->control->state.rss;
}

/* The host's table, of at least cnt entries, over the queues in use. */
static unsigned deal(const struct net_steering *host, unsigned cnt, unsigned queue_cnt,
		     uint16_t *table)
{
	if (host->table_cnt > cnt)
		cnt = host->table_cnt;
	for (unsigned i = 0; i < cnt; i++) {
		unsigned queue = host->table_cnt ? host->table[i % host->table_cnt] : i;

		/* Of those that are not in use now others take the share. */
		table[i] = (uint16_t)(queue < queue_cnt ? queue : i % queue_cnt);
	}
	return cnt;
}

static void want_guest(const struct net_driver_state *state, struct steering_options *want)
{
	want->kind = STEERING_TABLE;
	want->types = state->hashing.types;
	/* Without types there is no key either; frames are all unclassified. */
	want->key_bytes = state->hashing.key_bytes ? state->hashing.key_bytes : 1;
	memcpy(want->key, state->hashing.key, state->hashing.key_bytes);
	want->table_cnt = state->table_cnt;
	memcpy(want->table, state->table, state->table_cnt * sizeof(state->table[0]));
	want->unclassified = state->unclassified;
}

static void want_host(struct net_steer *steer, unsigned queue_cnt, struct steering_options *want)
{
	const struct net_steering *host = &steer->host;

	want->inner = host->inner;
	if (host->mode == NET_STEERING_LEARN) {
		want->kind = STEERING_LEARN;
		return;
	}
	want->kind = STEERING_TABLE;
	want->types = host->types;
	want->key_bytes = host->key_bytes;
	memcpy(want->key, host->key, host->key_bytes);
	if (host->mode == NET_STEERING_RSS) {
		want->table_cnt = deal(host, host->table_cnt ? host->table_cnt : TABLE_CNT,
				       queue_cnt, want->table);
		return;
	}
	if (steer->dealt_for != queue_cnt) {
		steer->table_cnt = deal(host, BUCKET_CNT, queue_cnt, steer->table);
		steer->dealt_for = queue_cnt;
	}
	want->table_cnt = steer->table_cnt;
	memcpy(want->table, steer->table, steer->table_cnt * sizeof(steer->table[0]));
}

/* What is not used of key and table is zero. */
static void make_wanted(struct net_steer *steer, struct steering_options *want)
{
	const struct net_device *net = steer->net;
	const unsigned queue_cnt = net_receivers(net);

	memset(want, 0, sizeof(*want));
	if (by_guest(net))
		want_guest(&net->control->state, want);
	else if (queue_cnt > 1)
		want_host(steer, queue_cnt, want);
}

static bool is_the_same(const struct steering_options *a, const struct steering_options *b)
{
	return a->kind == b->kind && a->inner == b->inner && a->types == b->types &&
	       a->key_bytes == b->key_bytes && a->table_cnt == b->table_cnt &&
	       a->unclassified == b->unclassified && !memcmp(a->key, b->key, sizeof(a->key)) &&
	       !memcmp(a->table, b->table, sizeof(a->table));
}

/* ---- bringing it to the switch ---- */

static void set_timer(struct net_steer *steer)
{
	const struct net_device *net = steer->net;
	const bool wanted = !steer->busy && steer->host.mode == NET_STEERING_REBALANCE &&
			    steer->present.kind == STEERING_TABLE && steer->dealt_for &&
			    !by_guest(net);

	if (!wanted)
		evloop_timer_cancel(net->loop, &steer->timer);
	else if (!steer->timer.active)
		evloop_timer_set(net->loop, &steer->timer,
				 clock_now_ns() + steer->host.interval_ms * NS_PER_MS);
}

static int add_waiter(struct steer_waiter **list, struct join *join)
{
	struct steer_waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	*waiter = (struct steer_waiter){.next = *list, .join = join};
	*list = waiter;
	join_add(join);
	return 0;
}

static void tell_waiters(struct steer_waiter *waiter, int status)
{
	while (waiter) {
		struct steer_waiter *next = waiter->next;

		join_done(waiter->join, status);
		free(waiter);
		waiter = next;
	}
}

static void change_done(struct join *join);

/*
 * Starts a change if there is something to change: it is busy then, and the change waits for our
 * own reference of the round.
 */
static int begin_change(struct net_steer *steer)
{
	struct steering *steering;
	struct err err = ERR_INIT;
	int status;

	make_wanted(steer, &steer->coming);
	if (!is_the_same(&steer->coming, &steer->present)) {
		status = steering_new(&steer->coming, steer->net->pairs_max, &steering, &err);
		if (status)
			return status;
		steer->coming_generation = steering->generation;
		steer->busy = true;
		join_open(&steer->round, change_done);
		netport_set_steering(steer->net->port, steering, &steer->round);
	}
	set_timer(steer);
	return 0;
}

static void take_loads(struct net_steer *steer)
{
	uint64_t *const carried = steer->carried_now;
	unsigned cnt;

	memset(steer->carried_now, 0, sizeof(steer->carried_now));
	cnt = netport_bucket_load(steer->net->port, carried);
	for (unsigned i = 0; i < cnt && i < STEERING_TABLE_MAX; i++) {
		/* A table that is new has begun anew. */
		steer->load[i] =
			carried[i] - (carried[i] < steer->carried[i] ? 0 : steer->carried[i]);
		steer->carried[i] = carried[i];
	}
}

/* What was carried so far does not count from here on. */
static void begin_interval(struct net_steer *steer)
{
	memset(steer->carried, 0, sizeof(steer->carried));
	(void)netport_bucket_load(steer->net->port, steer->carried);
}

/* The rules name the generation whose hashes are what the guest wants to be told. */
static void update_generation(const struct net_steer *steer)
{
	struct net_device *net = steer->net;
	const struct net_rules *rules = net->rules;

	/* Without memory receivers compute hashes themselves. */
	if (rules->hash_key &&
	    rules->hash_generation != net_steer_generation(net, &net->control->state.hashing))
		(void)net_rules_update(net, NULL);
}

static void change_done(struct join *join)
{
	struct net_steer *steer = container_of(join, struct net_steer, round);
	struct steer_waiter *waiters = steer->waiters, *failed = NULL;
	const int status = join->status;
	int next_status = 0;

	steer->busy = false;
	steer->waiters = NULL;
	if (!steer->net) {
		failed = steer->next_waiters;
		free(steer);
		tell_waiters(waiters, status);
		tell_waiters(failed, status);
		return;
	}
	if (!status) {
		steer->present = steer->coming;
		steer->generation = steer->coming_generation;
		begin_interval(steer);
		update_generation(steer);
	}
	if (steer->again) {
		steer->again = false;
		next_status = begin_change(steer);
		if (steer->busy)
			steer->waiters = steer->next_waiters;
		else
			failed = steer->next_waiters;
		steer->next_waiters = NULL;
	}
	set_timer(steer);
	if (steer->busy)
		join_done(&steer->round, 0);
	/* Whoever hears may end the device: nothing of ours is looked at any more. */
	tell_waiters(waiters, status);
	tell_waiters(failed, next_status);
}

int net_steer_update(struct net_device *net, struct join *join)
{
	struct net_steer *steer = net->control->steer;
	int status;

	if (steer->busy) {
		steer->again = true;
		return join ? add_waiter(&steer->next_waiters, join) : 0;
	}
	status = begin_change(steer);
	if (!steer->busy)
		return status;
	if (join)
		status = add_waiter(&steer->waiters, join);
	join_done(&steer->round, 0);
	return status;
}

/* ---- the load ---- */

static void interval_ended(struct evloop_timer *timer)
{
	struct net_steer *steer = container_of(timer, struct net_steer, timer);
	unsigned cnt;

	take_loads(steer);
	cnt = balance_plan(steer->load, steer->table, steer->table_cnt, steer->dealt_for,
			   steer->moves, STEERING_TABLE_MAX);
	for (unsigned i = 0; i < cnt; i++)
		steer->table[steer->moves[i].bucket] = steer->moves[i].to;
	if (cnt)
		steer->balanced++;
	/* Without memory it is tried again at the next interval's end. */
	if (net_steer_update(steer->net, NULL))
		set_timer(steer);
}

/* ---- the device ---- */

uint64_t net_steer_generation(const struct net_device *net, const struct net_hashing *hashing)
{
	const struct net_steer *steer = net->control->steer;
	const struct steering_options *present = &steer->present;

	/* Behind a shorter key there are zeroes on both sides. */
	return present->kind == STEERING_TABLE && !present->inner &&
			       present->types == hashing->types &&
			       memcmp(present->key, hashing->key, sizeof(present->key)) == 0
		       ? steer->generation
		       : 0;
}

int net_steer_new(struct net_device *net, struct err *err)
{
	struct net_steer *steer = calloc(1, sizeof(*steer));

	if (!steer)
		return err_set(err, ENOMEM, "no memory for steering");
	steer->net = net;
	steer->host = net->options.steering;
	steer->timer.expired = interval_ended;
	net->control->steer = steer;
	return 0;
}

void net_steer_free(struct net_device *net)
{
	struct net_steer *steer = net->control->steer;

	if (!steer)
		return;
	evloop_timer_cancel(net->loop, &steer->timer);
	net->control->steer = NULL;
	steer->net = NULL;
	if (!steer->busy)
		free(steer);
}

/* ---- net.h ---- */

static int check_table(const struct net_steering *steering, unsigned pairs, struct err *err)
{
	const unsigned cnt = steering->table_cnt;

	if (cnt > STEERING_TABLE_MAX || cnt & (cnt - 1))
		return err_set(err, EINVAL,
			       "steering.table: %u entries; give a power of two up to %u", cnt,
			       STEERING_TABLE_MAX);
	for (unsigned i = 0; i < cnt; i++) {
		if (steering->table[i] >= pairs)
			return err_set(err, EINVAL,
				       "steering.table: entry %u names queue pair %u, and the port "
				       "has 0 to %u; name one of these, or raise queue-pairs",
				       i, steering->table[i], pairs - 1);
	}
	return 0;
}

int net_steer_check(const struct net_steering *steering, unsigned pairs, struct err *err)
{
	if (!net_steering_mode_name(steering->mode))
		return err_set(err, EINVAL,
			       "steering.mode: %u is none; give learn, rss or rebalance",
			       (unsigned)steering->mode);
	if (steering->mode == NET_STEERING_LEARN)
		return 0;
	if (!steering->types || steering->types & ~HASH_TYPES_ALL)
		return err_set(err, EINVAL,
			       "steering.types: 0x%x; give at least one of the hash types 0x%x",
			       steering->types, HASH_TYPES_ALL);
	if (steering->key_bytes < 1 || steering->key_bytes > TOEPLITZ_KEY_BYTES)
		return err_set(err, EINVAL, "steering.key: %u bytes; give 1 to %u",
			       steering->key_bytes, TOEPLITZ_KEY_BYTES);
	if (steering->mode == NET_STEERING_REBALANCE && !steering->interval_ms)
		return err_set(err, EINVAL,
			       "steering.interval: 0 ms; give 1 or more, or mode rss for a table "
			       "that stays");
	return check_table(steering, pairs, err);
}

int net_device_set_steering(struct device *device, const struct net_steering *steering,
			    struct join *join, struct err *err)
{
	struct net_device *net = net_of_device(device);
	struct net_steer *steer = net->control->steer;
	const struct net_steering before = steer->host;
	const unsigned dealt_for = steer->dealt_for;

	if (net_steer_check(steering, net->pairs_max, err))
		return -EINVAL;
	steer->host = *steering;
	/* A table that has followed the load is kept where it may. */
	if (before.mode != steering->mode || before.table_cnt != steering->table_cnt ||
	    memcmp(before.table, steering->table, sizeof(before.table)) != 0)
		steer->dealt_for = 0;
	evloop_timer_cancel(net->loop, &steer->timer);
	if (net_steer_update(net, join)) {
		steer->host = before;
		steer->dealt_for = dealt_for;
		set_timer(steer);
		return err_set(err, ENOMEM, "no memory for other steering");
	}
	return 0;
}

void net_device_steering_view(const struct device *device, struct net_steering_view *view)
{
	const struct net_device *net = net_of_device(device);
	const struct net_steer *steer = net->control->steer;
	const struct steering_options *present = &steer->present;

	memset(view, 0, sizeof(*view));
	view->mode = steer->host.mode;
	view->by_guest = by_guest(net);
	view->hash_report = device_has_feature(device->acked, NET_F_HASH_REPORT);
	view->balanced = steer->balanced;
	if (present->kind == STEERING_LEARN)
		view->flows = netport_flow_count(net->port);
	if (present->kind != STEERING_TABLE)
		return;
	view->types = present->types;
	view->key_bytes = present->key_bytes;
	memcpy(view->key, present->key, sizeof(view->key));
	view->unclassified = present->unclassified;
	view->table_cnt = present->table_cnt;
	memcpy(view->table, present->table, sizeof(view->table));
	if (steer->host.mode == NET_STEERING_REBALANCE && !view->by_guest)
		memcpy(view->load, steer->load, sizeof(view->load));
	else
		(void)netport_bucket_load(net->port, view->load);
}
