/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forwarding table: a hash table with a bound on everything.
 * Not what is done with what it says (send.c).
 */
#include "network/fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

uint64_t fdb_mac(const uint8_t *mac)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 6; i++)
		value |= (uint64_t)mac[i] << (8 * i);
	return value;
}

void fdb_key_mac(uint64_t key, uint8_t *mac)
{
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)(key >> (8 * i));
}

int fdb_init(struct fdb *fdb, const struct fdb_options *options)
{
	const uint64_t wanted = 2 * ((uint64_t)options->max + options->locked_max);
	uint64_t places = FDB_PROBES;

	while (places < wanted)
		places *= 2;
	*fdb = (struct fdb){.mask = (uint32_t)(places - 1), .options = *options};
	fdb->entries = calloc(places, sizeof(*fdb->entries));
	if (!fdb->entries)
		return -ENOMEM;
	/* The pool is up long before a daemon runs; if not, the clock is better than nothing. */
	if (getrandom(fdb->seed, sizeof(fdb->seed), GRND_NONBLOCK) != sizeof(fdb->seed))
		fdb->seed[0] = clock_now_ns() ^ (uint64_t)(uintptr_t)fdb->entries;
	fdb->seed[1] |= 1;
	return 0;
}

void fdb_fini(struct fdb *fdb)
{
	free(fdb->entries);
	fdb->entries = NULL;
}

static inline uint32_t fdb_place(const struct fdb *fdb, uint64_t key)
{
	__extension__ const unsigned __int128 product =
		(unsigned __int128)(key ^ fdb->seed[0]) *
		(key ^ fdb->seed[1] ^ 0x9e3779b97f4a7c15ull);

	return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & fdb->mask;
}

/* The entry of exactly that key, whatever its age, or NULL. *free_place: the end of its chain. */
static inline struct fdb_entry *fdb_probe(const struct fdb *fdb, uint64_t key,
					  struct fdb_entry **free_place)
{
	uint32_t place = fdb_place(fdb, key);

	*free_place = NULL;
	for (unsigned i = 0; i < FDB_PROBES; i++) {
		struct fdb_entry *entry = &fdb->entries[place];

		if (!entry->port) {
			*free_place = entry;
			return NULL;
		}
		if (entry->key == key)
			return entry;
		place = (place + 1) & fdb->mask;
	}
	return NULL;
}

static inline bool fdb_is_old(const struct fdb *fdb, const struct fdb_entry *entry, uint64_t now_ns)
{
	/* Another worker's clock may be a turn ahead of ours. */
	return entry->seen_ns != FDB_LOCKED && now_ns > entry->seen_ns &&
	       now_ns - entry->seen_ns >= fdb->options.aging_ns;
}

static inline struct fdb_entry *fdb_find_any(const struct fdb *fdb, uint64_t key)
{
	struct fdb_entry *free_place;

	if (fdb->locked_cnt == 0)
		return NULL;
	return fdb_probe(fdb, fdb_key(key & FDB_KEY_MAC, FDB_VLAN_ANY), &free_place);
}

struct fdb_entry *fdb_find(const struct fdb *fdb, uint64_t key, uint64_t now_ns)
{
	struct fdb_entry *free_place;
	struct fdb_entry *entry = fdb_probe(fdb, key, &free_place);

	if (likely(entry && !fdb_is_old(fdb, entry, now_ns)))
		return entry;
	return fdb_find_any(fdb, key);
}

/* Moves what follows back into the hole, as far as that brings it no further than its own place. */
static void fdb_remove(struct fdb *fdb, struct fdb_entry *entry)
{
	uint32_t hole = (uint32_t)(entry - fdb->entries);
	uint32_t next = hole;

	if (entry->seen_ns == FDB_LOCKED) {
		fdb->locked_cnt--;
		entry->port->locked_cnt--;
	} else {
		fdb->cnt--;
		entry->port->cnt--;
	}
	for (;;) {
		uint32_t home;

		next = (next + 1) & fdb->mask;
		if (!fdb->entries[next].port)
			break;
		home = fdb_place(fdb, fdb->entries[next].key);
		if (((next - home) & fdb->mask) < ((next - hole) & fdb->mask))
			continue;
		fdb->entries[hole] = fdb->entries[next];
		hole = next;
	}
	fdb->entries[hole] = (struct fdb_entry){0};
	fdb->generation++;
}

static bool fdb_port_is_full(const struct fdb *fdb, const struct fdb_port *port)
{
	return fdb->options.port_max > 0 && port->cnt >= fdb->options.port_max;
}

static enum fdb_learnt fdb_move(struct fdb *fdb, struct fdb_entry *entry, struct fdb_port *port)
{
	if (fdb_port_is_full(fdb, port))
		return FDB_REFUSED;
	entry->port->cnt--;
	port->cnt++;
	entry->port = port;
	fdb->generation++;
	return FDB_MOVED;
}

static enum fdb_learnt fdb_add(struct fdb *fdb, struct fdb_entry *entry, uint64_t key,
			       struct fdb_port *port)
{
	if (!entry || fdb->cnt >= fdb->options.max || fdb_port_is_full(fdb, port))
		return FDB_REFUSED;
	*entry = (struct fdb_entry){.key = key, .port = port};
	port->cnt++;
	fdb->cnt++;
	return FDB_NEW;
}

enum fdb_learnt fdb_learn(struct fdb *fdb, uint64_t key, struct fdb_port *port, uint64_t now_ns,
			  struct fdb_entry **out)
{
	struct fdb_entry *free_place;
	struct fdb_entry *entry = fdb_probe(fdb, key, &free_place);
	enum fdb_learnt learnt = FDB_KNOWN;

	if (entry && entry->seen_ns == FDB_LOCKED)
		return FDB_IS_LOCKED;
	if (!entry) {
		if (fdb_find_any(fdb, key))
			return FDB_IS_LOCKED;
		entry = free_place;
		learnt = fdb_add(fdb, entry, key, port);
	} else if (entry->port != port) {
		learnt = fdb_move(fdb, entry, port);
	} else if (fdb_is_old(fdb, entry, now_ns)) {
		learnt = FDB_NEW;
	}
	if (learnt == FDB_REFUSED)
		return learnt;
	entry->seen_ns = now_ns;
	*out = entry;
	return learnt;
}

/* Everything that was learnt of an address, in one VLAN or in all. */
static void fdb_forget(struct fdb *fdb, uint64_t key)
{
	struct fdb_entry *free_place;
	struct fdb_entry *entry;

	if (fdb_key_vlan(key) != FDB_VLAN_ANY) {
		entry = fdb_probe(fdb, key, &free_place);
		if (entry && entry->seen_ns != FDB_LOCKED)
			fdb_remove(fdb, entry);
		return;
	}
	for (uint32_t i = 0; i <= fdb->mask && fdb->cnt > 0;) {
		entry = &fdb->entries[i];
		if (entry->port && entry->seen_ns != FDB_LOCKED &&
		    ((entry->key ^ key) & FDB_KEY_MAC) == 0)
			fdb_remove(fdb, entry); /* another may be in its place now */
		else
			i++;
	}
}

bool fdb_lock(struct fdb *fdb, uint64_t key, struct fdb_port *port)
{
	struct fdb_entry *free_place;
	struct fdb_entry *entry;

	fdb_forget(fdb, key);
	entry = fdb_probe(fdb, key, &free_place);
	if (entry)
		return entry->port == port;
	if (!free_place || fdb->locked_cnt >= fdb->options.locked_max)
		return false;
	*free_place = (struct fdb_entry){.key = key, .port = port, .seen_ns = FDB_LOCKED};
	fdb->locked_cnt++;
	port->locked_cnt++;
	fdb->generation++;
	return true;
}

void fdb_flush_port(struct fdb *fdb, struct fdb_port *port)
{
	for (uint32_t i = 0; i <= fdb->mask && (port->cnt > 0 || port->locked_cnt > 0);) {
		if (fdb->entries[i].port == port)
			fdb_remove(fdb, &fdb->entries[i]);
		else
			i++;
	}
	/* Also when there was nothing: caches hold ports, too. */
	fdb->generation++;
}

void fdb_sweep(struct fdb *fdb, unsigned cnt, uint64_t now_ns)
{
	for (; cnt > 0; cnt--) {
		struct fdb_entry *entry = &fdb->entries[fdb->sweep];

		if (entry->port && fdb_is_old(fdb, entry, now_ns))
			fdb_remove(fdb, entry);
		else
			fdb->sweep = (fdb->sweep + 1) & fdb->mask;
	}
}
