/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learnt flows: eight bytes each, four in a set.
 * Not protection of one guest from another: each port has a table, and who makes up flows drives
 * out its own.
 *
 * Theory of operation
 *
 * 1. An entry is the flow's hash, the tick at which it was last written, and its queue + 1; 0 is
 *    an empty one. A tick is a power of two of nanoseconds, 1/256 to 1/512 of the age.
 * 2. A flow that is in use is written once in a quarter of the age, which is when the other
 *    replicas are told. In between learning only reads, and all replicas agree on its age. So a
 *    flow is forgotten between three quarters of the age and the age after its last frame.
 * 3. Ticks have 24 bits. What is ahead by less than an age was told by a worker whose clock was
 *    read a little later; what is ahead by more is old. An entry that nobody touched for 2^24
 *    ticks (22 days at an age of 30 s) looks young again for one age. It then says where the flow
 *    was sent from last, which is never a queue that may not be used: who asks checks that.
 * 4. Only flow_table_count() comes from another thread. It reads whole entries; nothing else is
 *    promised to it.
 */
#include "flow/flow_table.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/compiler.h"

#define TICK_BITS 24
#define TICK_MASK ((1u << TICK_BITS) - 1)
#define TICKS_AN_AGE 256u
#define QUEUE_BITS 8
#define QUEUE_MASK ((1u << QUEUE_BITS) - 1)
#define HASH_SHIFT (TICK_BITS + QUEUE_BITS)

struct flow_table {
	uint64_t *entries;
	unsigned set_mask;
	unsigned tick_shift;
	uint32_t age_ticks;
};

static ALWAYS_INLINE uint64_t entry_load(const uint64_t *entry)
{
	return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE void entry_store(uint64_t *entry, uint32_t hash, uint32_t tick, unsigned queue)
{
	uint64_t v = (uint64_t)hash << HASH_SHIFT | (uint64_t)tick << QUEUE_BITS | (queue + 1);

	__atomic_store_n(entry, v, __ATOMIC_RELAXED);
}

static ALWAYS_INLINE uint32_t tick_of(const struct flow_table *table, uint64_t now_ns)
{
	return (uint32_t)(now_ns >> table->tick_shift) & TICK_MASK;
}

static ALWAYS_INLINE uint32_t age_of(const struct flow_table *table, uint64_t entry, uint32_t tick)
{
	uint32_t age = (tick - (uint32_t)(entry >> QUEUE_BITS)) & TICK_MASK;

	return age > TICK_MASK - table->age_ticks ? 0 : age;
}

static ALWAYS_INLINE unsigned queue_of(uint64_t entry)
{
	return (unsigned)(entry & QUEUE_MASK) - 1;
}

static ALWAYS_INLINE uint64_t *set_of(const struct flow_table *table, uint32_t hash)
{
	return table->entries + (size_t)(hash & table->set_mask) * FLOW_TABLE_WAYS;
}

/* NULL: there is none. */
static ALWAYS_INLINE uint64_t *entry_find(const struct flow_table *table, uint32_t hash)
{
	uint64_t *set = set_of(table, hash);

	for (unsigned i = 0; i < FLOW_TABLE_WAYS; i++) {
		uint64_t entry = entry_load(&set[i]);

		if (entry >> HASH_SHIFT == hash && entry & QUEUE_MASK)
			return &set[i];
	}
	return NULL;
}

/* An empty entry of the flow's set, or the oldest one. */
static uint64_t *entry_victim(const struct flow_table *table, uint32_t hash, uint32_t tick)
{
	uint64_t *set = set_of(table, hash), *victim = set;
	uint32_t oldest = 0;

	for (unsigned i = 0; i < FLOW_TABLE_WAYS; i++) {
		uint64_t entry = entry_load(&set[i]);
		uint32_t age = age_of(table, entry, tick);

		if (!entry)
			return &set[i];
		if (age > oldest) {
			oldest = age;
			victim = &set[i];
		}
	}
	return victim;
}

struct flow_table *flow_table_new(unsigned entries, uint64_t age_ns)
{
	struct flow_table *table;

	CHECK(entries >= FLOW_TABLE_WAYS && (entries & (entries - 1)) == 0);
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	table->entries = aligned_alloc(CACHE_LINE_BYTES,
				       (entries * sizeof(uint64_t) + CACHE_LINE_BYTES - 1) /
					       CACHE_LINE_BYTES * CACHE_LINE_BYTES);
	if (!table->entries) {
		free(table);
		return NULL;
	}
	for (unsigned i = 0; i < entries; i++)
		table->entries[i] = 0;
	table->set_mask = entries / FLOW_TABLE_WAYS - 1;
	while (age_ns >> table->tick_shift >= 2 * TICKS_AN_AGE)
		table->tick_shift++;
	table->age_ticks = (uint32_t)(age_ns >> table->tick_shift);
	return table;
}

void flow_table_free(struct flow_table *table)
{
	if (!table)
		return;
	free(table->entries);
	free(table);
}

bool flow_table_learn(struct flow_table *table, uint32_t hash, unsigned queue, uint64_t now_ns)
{
	uint32_t tick = tick_of(table, now_ns);
	uint64_t *entry = entry_find(table, hash);

	if (likely(entry != NULL)) {
		uint64_t v = entry_load(entry);

		if (likely(queue_of(v) == queue && age_of(table, v, tick) * 4 < table->age_ticks))
			return false;
	} else {
		entry = entry_victim(table, hash, tick);
	}
	entry_store(entry, hash, tick, queue);
	return true;
}

void flow_table_told(struct flow_table *table, uint32_t hash, unsigned queue, uint64_t now_ns)
{
	uint32_t tick = tick_of(table, now_ns);
	uint64_t *entry = entry_find(table, hash);

	if (!entry)
		entry = entry_victim(table, hash, tick);
	entry_store(entry, hash, tick, queue);
}

int flow_table_find(struct flow_table *table, uint32_t hash, uint64_t now_ns)
{
	const uint64_t *entry = entry_find(table, hash);
	uint64_t v;

	if (!entry)
		return FLOW_TABLE_NONE;
	v = entry_load(entry);
	if (age_of(table, v, tick_of(table, now_ns)) > table->age_ticks)
		return FLOW_TABLE_NONE;
	return (int)queue_of(v);
}

unsigned flow_table_count(const struct flow_table *table, uint64_t now_ns)
{
	size_t entries = ((size_t)table->set_mask + 1) * FLOW_TABLE_WAYS;
	uint32_t tick = tick_of(table, now_ns);
	unsigned cnt = 0;

	for (size_t i = 0; i < entries; i++) {
		uint64_t v = entry_load(&table->entries[i]);

		if (v && age_of(table, v, tick) <= table->age_ticks)
			cnt++;
	}
	return cnt;
}
