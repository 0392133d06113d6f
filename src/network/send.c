/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way into a switch: checks, VLAN, learning, lookup, flooding.
 * Not how the receiver gets them (egress.c).
 *
 * Theory of operation
 *
 * 1. Frames whose first bytes (addresses, and the tag if there is one) are those of a frame that
 *    passed all checks go its way, unchecked: of such ways a few are kept for each port
 *    (burst_same). Every other frame goes through burst_one.
 * 2. Frames are gathered in runs to one receiver and given away at the end of the burst, or before
 *    a frame is flooded, so that none overtakes another.
 * 3. Ways are kept while the table's generation is the same and until the first of the entries that
 *    they came from ages, or has to be told to others again. What a port may do is part of them:
 *    whoever changes that forgets them (netport_forget_cached).
 */
#include <assert.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/le.h"
#include "network/capture.h"
#include "network/netport_priv.h"

#define MAC_MULTICAST 1u
/* After an address could not be told to all, or not learnt. */
#define LEARN_RETRY_NS NS_PER_MS

struct run {
	struct netport_replica *to;
	uint8_t first;
	uint8_t cnt;
};

struct burst {
	struct netport_replica *from;
	struct exchange *exchange;
	struct frame *const *frames;
	uint64_t now_ns;
	unsigned queue_idx;
	unsigned run_cnt;
	struct run runs[NETPORT_BURST];
};

/* The first 16 bytes of a frame; head has room for more, whatever head_bytes is. */
struct ether {
	uint64_t first; /* destination, two bytes of the source */
	uint64_t rest;  /* four bytes of the source, type, two more */
};

static inline struct ether ether_load(const struct frame *frame)
{
	struct le64 words[2];

	memcpy(words, frame->head, sizeof(words));
	return (struct ether){le64_get(words[0]), le64_get(words[1])};
}

static inline uint64_t ether_destination(struct ether ether)
{
	return ether.first & FDB_KEY_MAC;
}

static inline uint64_t ether_source(struct ether ether)
{
	return ether.first >> 48 | (ether.rest & 0xffffffffu) << 16;
}

static inline bool ether_is_tagged(struct ether ether)
{
	return (ether.rest >> 32 & 0xffff) == __builtin_bswap16(ETHER_TYPE_VLAN);
}

static inline unsigned ether_vid(struct ether ether)
{
	return __builtin_bswap16((uint16_t)(ether.rest >> 48)) & 0xfff;
}

void netport_forget_cached(struct netport_replica *replica)
{
	for (unsigned i = 0; i < NETPORT_WAYS; i++)
		replica->ways[i].rest = NETPORT_WAY_NONE;
	replica->src_key = FDB_KEY_NONE;
	replica->cache_until_ns = UINT64_MAX;
	replica->cache_generation = replica->sw->fdb.generation;
}

/* What a frame has to have in common with another to go its way, besides `first`. */
static inline uint64_t ether_rest(struct ether ether)
{
	return ether_is_tagged(ether) ? ether.rest : (uint32_t)ether.rest;
}

static inline struct netport_way *replica_way(struct netport_replica *from, struct ether ether)
{
	/* What tells neighbours apart is at the end of an address. */
	const uint64_t mixed =
		((ether.first >> 24) + ether_rest(ether) * 5) * 0x9e3779b97f4a7c15ull;

	return &from->ways[mixed >> 58];
}
static_assert(NETPORT_WAYS == 1 << (64 - 58), "replica_way() takes the upper 6 bits");

static inline void replica_cache_until(struct netport_replica *from, uint64_t until_ns)
{
	if (until_ns < from->cache_until_ns)
		from->cache_until_ns = until_ns;
}

static COLD void burst_drop(const struct burst *burst, struct frame *frame, uint64_t *counter,
			    enum netport_drop why)
{
	stat_inc(counter);
	if (burst->from->capture)
		capture_drop(burst->from->capture, frame, CAPTURE_IN, why, burst->now_ns);
}

/* --- runs --- */

static inline void burst_add(struct burst *burst, struct netport_replica *to, unsigned first,
			     unsigned cnt)
{
	struct run *last = &burst->runs[burst->run_cnt];

	if (burst->run_cnt > 0 && last[-1].to == to && last[-1].first + last[-1].cnt == first) {
		last[-1].cnt = (uint8_t)(last[-1].cnt + cnt);
		return;
	}
	*last = (struct run){.to = to, .first = (uint8_t)first, .cnt = (uint8_t)cnt};
	burst->run_cnt++;
}

/* Gives away all runs to the receiver of run `at`, as one. */
static NOINLINE void burst_give_joined(struct burst *burst, unsigned at)
{
	struct netport_replica *to = burst->runs[at].to;
	struct frame *group[NETPORT_BURST];
	unsigned cnt = 0;

	for (unsigned i = at; i < burst->run_cnt; i++) {
		struct run *run = &burst->runs[i];

		if (run->to != to)
			continue;
		memcpy(&group[cnt], &burst->frames[run->first], run->cnt * sizeof(group[0]));
		cnt += run->cnt;
		run->to = NULL;
	}
	netport_give(to, burst->exchange, group, cnt, burst->now_ns);
}

static inline void burst_give(struct burst *burst)
{
	const struct run *run = &burst->runs[0];

	if (likely(burst->run_cnt == 1)) {
		netport_give(run->to, burst->exchange, &burst->frames[run->first], run->cnt,
			     burst->now_ns);
	} else {
		for (unsigned i = 0; i < burst->run_cnt; i++) {
			if (burst->runs[i].to)
				burst_give_joined(burst, i);
		}
	}
	burst->run_cnt = 0;
}

/* --- flooding --- */

/* Within what the port may flood on this worker? */
static bool replica_may_flood(struct netport_replica *from, uint64_t now_ns)
{
	const struct netswitch_replica *sw = from->sw;

	if (sw->flood_cost_ns == 0)
		return true;
	if (from->flood_next_ns < now_ns)
		from->flood_next_ns = now_ns;
	else if (from->flood_next_ns - now_ns >= sw->flood_burst_ns)
		return false;
	from->flood_next_ns += sw->flood_cost_ns;
	return true;
}

static void burst_flood(struct burst *burst, struct frame *frame)
{
	struct netport_replica *from = burst->from;
	struct list_node *node;
	struct list_node *next;
	unsigned cnt = 0;

	if (!replica_may_flood(from, burst->now_ns)) {
		burst_drop(burst, frame, &from->stats.drop_storm, NETPORT_DROP_STORM);
		return;
	}
	burst_give(burst);
	list_for_each_safe(node, next, &from->sw->members) {
		struct netport_replica *to = list_entry(node, struct netport_replica, member);

		if (to == from || !netport_vlans_carry(&to->vlans, frame->vlan))
			continue;
		netport_give_shared(to, burst->exchange, &frame, 1, burst->now_ns);
		cnt++;
	}
	if (cnt > 0)
		stat_inc(&from->stats.flooded);
	else
		burst_drop(burst, frame, &from->stats.drop_no_port, NETPORT_DROP_NO_PORT);
}

/* --- learning --- */

/* Are there two ports, and no more? */
static bool netswitch_is_pair(const struct netswitch_replica *sw)
{
	const struct list_node *first = sw->members.next;

	return first->next != &sw->members && first->next->next == &sw->members;
}

/* Of two ports, what nobody knew went to the other: that may be a way which is none any more. */
static void netswitch_forget_pair(struct netswitch_replica *sw)
{
	if (netswitch_is_pair(sw))
		sw->fdb.generation++;
}

static void replica_learn(struct netport_replica *from, struct exchange *exchange, uint64_t key,
			  uint64_t now_ns)
{
	struct netswitch_replica *sw = from->sw;
	struct fdb_entry *entry;
	enum fdb_learnt learnt = fdb_learn(&sw->fdb, key, &from->addresses, now_ns, &entry);
	uint64_t until_ns = now_ns + LEARN_RETRY_NS;

	if (learnt == FDB_NEW)
		netswitch_forget_pair(sw);
	if (sw->fdb.generation != from->cache_generation)
		netport_forget_cached(from);
	from->src_key = key;
	if (learnt == FDB_REFUSED) {
		stat_inc(&from->stats.learn_refused);
	} else if (learnt != FDB_IS_LOCKED) {
		if (learnt != FDB_KNOWN)
			entry->told_ns = 0;
		if (entry->told_ns == 0 || now_ns - entry->told_ns >= sw->learn_refresh_ns) {
			netswitch_learnt(sw, exchange->worker);
			entry->told_ns = 0;
			if (load_acquire(&from->port->unsettled) == 0 &&
			    exchange_tell(exchange, RING_LEARN, from->id, key))
				entry->told_ns = now_ns;
		}
		if (entry->told_ns > 0)
			until_ns = entry->told_ns + sw->learn_refresh_ns;
	}
	replica_cache_until(from, until_ns);
}

void netport_learn_told(struct exchange *exchange, uint32_t port_id, uint64_t key, uint64_t now_ns)
{
	struct netport_replica *port = exchange_port(exchange, port_id);
	struct fdb_entry *entry;
	enum fdb_learnt learnt;

	if (!port || !netport_vlans_carry(&port->vlans, fdb_key_vlan(key)))
		return;
	learnt = fdb_learn(&port->sw->fdb, key, &port->addresses, now_ns, &entry);
	if (learnt == FDB_REFUSED) {
		stat_inc(&port->stats.learn_refused);
	} else if (learnt == FDB_NEW) {
		netswitch_forget_pair(port->sw);
		netswitch_learnt(port->sw, exchange->worker);
	} else if (learnt == FDB_MOVED) {
		entry->told_ns = 0;
	}
}

/* --- one frame --- */

/* The only other port, if it carries the VLAN: what nobody knows can only be meant for it. */
static struct netport_replica *replica_lone_peer(struct netport_replica *from, unsigned vlan)
{
	struct netport_replica *to;

	if (!netswitch_is_pair(from->sw))
		return NULL;
	to = list_entry(from->member.next == &from->sw->members ? from->member.prev
								: from->member.next,
			struct netport_replica, member);
	return netport_vlans_carry(&to->vlans, vlan) ? to : NULL;
}

/* Checks that depend on the frame alone and sets its VLAN. False: dropped and counted. */
static bool burst_admit(const struct burst *burst, struct frame *frame, struct ether ether)
{
	struct netport_replica *from = burst->from;
	const bool tagged = ether_is_tagged(ether);
	const uint64_t source = ether_source(ether);

	if (frame->head_bytes < ETHER_HEADER_BYTES + (tagged ? ETHER_TAG_BYTES : 0)) {
		burst_drop(burst, frame, &from->stats.drop_runt, NETPORT_DROP_RUNT);
		return false;
	}
	if (from->mac_lock ? source != from->mac : (source & MAC_MULTICAST) != 0) {
		burst_drop(burst, frame, &from->stats.drop_spoofed, NETPORT_DROP_SPOOFED);
		return false;
	}
	frame->tagged = tagged;
	frame->vlan = tagged ? netport_vlans_of_tagged(&from->vlans, ether_vid(ether))
			     : from->untagged_vlan;
	if (frame->vlan == NETPORT_NO_VLAN) {
		burst_drop(burst, frame, &from->stats.drop_vlan, NETPORT_DROP_VLAN);
		return false;
	}
	return true;
}

/*
 * Who is behind the address. NULL: nobody knows, and more than one could be; or it was dropped and
 * counted.
 */
static struct netport_replica *burst_look_up(const struct burst *burst, struct frame *frame,
					     uint64_t key, bool *dropped)
{
	struct netport_replica *from = burst->from;
	const struct fdb_entry *entry = fdb_find(&from->sw->fdb, key, burst->now_ns);
	struct netport_replica *to;

	*dropped = false;
	if (!entry)
		return replica_lone_peer(from, fdb_key_vlan(key));
	to = netport_of_addresses(entry->port);
	if (to == from) {
		burst_drop(burst, frame, &from->stats.drop_hairpin, NETPORT_DROP_HAIRPIN);
		*dropped = true;
	} else if (!netport_vlans_carry(&to->vlans, fdb_key_vlan(key))) {
		burst_drop(burst, frame, &to->stats.drop_egress_vlan, NETPORT_DROP_EGRESS_VLAN);
		if (to->capture)
			capture_drop(to->capture, frame, CAPTURE_OUT, NETPORT_DROP_EGRESS_VLAN,
				     burst->now_ns);
		*dropped = true;
	}
	if (*dropped)
		return NULL;
	if (entry->seen_ns != FDB_LOCKED)
		replica_cache_until(from, entry->seen_ns + from->sw->fdb.options.aging_ns);
	return to;
}

/* Any frame. */
static NOINLINE void burst_one(struct burst *burst, unsigned at)
{
	struct netport_replica *from = burst->from;
	struct frame *frame = burst->frames[at];
	const struct ether ether = ether_load(frame);
	const uint64_t source = ether_source(ether);
	struct netport_replica *to;
	bool dropped = false;
	uint64_t key;

	frame->exchange = burst->exchange;
	frame->hashed = false;
	frame->rss_generation = 0;
	if (!burst_admit(burst, frame, ether))
		return;
	key = fdb_key(source, frame->vlan);
	if (key != from->src_key && source != 0 && !from->mac_lock)
		replica_learn(from, burst->exchange, key, burst->now_ns);
	if (ether.first & MAC_MULTICAST) {
		burst_flood(burst, frame);
		return;
	}
	key = fdb_key(ether_destination(ether), frame->vlan);
	to = burst_look_up(burst, frame, key, &dropped);
	if (to) {
		burst_add(burst, to, at, 1);
		*replica_way(from, ether) = (struct netport_way){.first = ether.first,
								 .rest = ether_rest(ether),
								 .to = to,
								 .vlan = frame->vlan,
								 .tagged = frame->tagged};
	} else if (!dropped) {
		burst_flood(burst, frame);
	}
}

/* How many frames from `at` on go the way of the first of them, which is known; 0: it is not. */
static ALWAYS_INLINE unsigned burst_same(struct burst *burst, unsigned at, unsigned cnt)
{
	struct exchange *exchange = burst->exchange;
	struct frame *frame = burst->frames[at];
	struct ether ether = ether_load(frame);
	const struct netport_way *way = replica_way(burst->from, ether);
	const uint64_t first = way->first;
	const uint64_t rest = way->rest;
	const uint16_t vlan = way->vlan;
	const bool tagged = way->tagged;
	const unsigned head_bytes_min = ETHER_HEADER_BYTES + (tagged ? ETHER_TAG_BYTES : 0);
	unsigned i = at;

	while (ether.first == first && ether_rest(ether) == rest &&
	       frame->head_bytes >= head_bytes_min) {
		frame->exchange = exchange;
		frame->vlan = vlan;
		frame->tagged = tagged;
		frame->hashed = false;
		frame->rss_generation = 0;
		if (++i == cnt)
			break;
		frame = burst->frames[i];
		ether = ether_load(frame);
	}
	if (i > at)
		burst_add(burst, way->to, at, i - at);
	return i - at;
}

static NOINLINE void burst_learn(const struct burst *burst, unsigned cnt)
{
	if (burst->from->steer->flows)
		steer_learn(burst->from, burst->exchange, burst->queue_idx, burst->frames, cnt,
			    burst->now_ns);
}

void netport_send(struct netport *port, struct exchange *exchange, unsigned queue_idx,
		  struct frame *const *frames, unsigned cnt, uint64_t now_ns)
{
	struct netport_replica *from = netport_on(port, exchange);
	struct burst burst;
	uint64_t bytes = 0;
	unsigned same;

	CHECK(from->joined && cnt <= NETPORT_BURST);
	burst.from = from;
	burst.exchange = exchange;
	burst.frames = frames;
	burst.now_ns = now_ns;
	burst.queue_idx = queue_idx;
	burst.run_cnt = 0;
	exchange_begin_burst(exchange);
	if (unlikely(from->cache_generation != from->sw->fdb.generation ||
		     now_ns >= from->cache_until_ns))
		netport_forget_cached(from);
	for (unsigned i = 0; i < cnt; i++)
		bytes += frames[i]->bytes;
	if (unlikely(from->capture))
		capture_in(from->capture, frames, cnt, now_ns);
	for (unsigned i = 0; i < cnt; i += same) {
		same = burst_same(&burst, i, cnt);
		if (same == 0) {
			burst_one(&burst, i);
			same = 1;
		}
	}
	burst_give(&burst);
	if (unlikely(from->steer))
		burst_learn(&burst, cnt);
	if (unlikely(from->capture))
		capture_in_end(from->capture);
	stat_add(&from->stats.in_frames, cnt);
	stat_add(&from->stats.in_bytes, bytes);
	exchange_end_burst(exchange, now_ns);
}
