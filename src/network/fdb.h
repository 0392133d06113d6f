/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A forwarding table: which port an address of a VLAN is behind.
 * Not a switch, and not shared: each worker has a replica of its own (netswitch.c).
 *
 * Theory of operation
 *
 * 1. Open addressing with linear probing in a table that is at most half full, deletion by shifting
 *    back. The hash has a secret key and a probe ends after FDB_PROBES, so whoever chooses
 *    addresses can neither make long chains nor know which ones are hard to learn.
 * 2. An entry that nobody was heard from for aging_ns is none, from then on; fdb_sweep() takes it
 *    out some time later.
 * 3. Locked entries are there until they are unlocked: they do not age, move, or count. One with
 *    FDB_VLAN_ANY stands for its address in every VLAN.
 * 4. `generation` changes whenever something that was found before may be found no more, or
 *    elsewhere. Caches of what was found are good while it is the same, and not longer than the
 *    entry lives. Not when something is learnt: those who make up new addresses must not cost
 *    others their caches.
 */
#ifndef PARIO_NETWORK_FDB_H
#define PARIO_NETWORK_FDB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define FDB_PROBES 64
#define FDB_VLAN_ANY 4095u
/* No address and no VLAN has it. */
#define FDB_KEY_NONE UINT64_MAX

/* Embedded in what the addresses belong to. */
struct fdb_port {
	uint32_t cnt; /* addresses learnt */
	uint32_t locked_cnt;
};

struct fdb_entry {
	uint64_t key;
	struct fdb_port *port; /* NULL: empty */
	uint64_t seen_ns;      /* FDB_LOCKED: it is not learnt */
	uint64_t told_ns;      /* when its owner last told others; the user's */
};
#define FDB_LOCKED UINT64_MAX

struct fdb_options {
	uint32_t max;      /* learnt addresses */
	uint32_t port_max; /* of one port; 0: no limit */
	uint32_t locked_max;
	uint64_t aging_ns;
};

struct fdb {
	struct fdb_entry *entries;
	uint32_t mask;
	uint32_t generation; /* users raise it, too, if their part of what is cached changes */
	uint32_t cnt;        /* learnt */
	uint32_t locked_cnt;
	uint32_t sweep; /* where fdb_sweep() goes on */
	struct fdb_options options;
	uint64_t seed[2];
};

#define FDB_KEY_MAC 0xffffffffffffull

/* mac: the address as 48 bits, its first byte lowest. */
static inline uint64_t fdb_key(uint64_t mac, unsigned vlan)
{
	return mac | (uint64_t)vlan << 48;
}
static inline unsigned fdb_key_vlan(uint64_t key)
{
	return (unsigned)(key >> 48);
}
uint64_t fdb_mac(const uint8_t *mac);
void fdb_key_mac(uint64_t key, uint8_t *mac);

/* 0 or -ENOMEM. */
int fdb_init(struct fdb *fdb, const struct fdb_options *options);
void fdb_fini(struct fdb *fdb);

/* NULL: not known, or too old. */
struct fdb_entry *fdb_find(const struct fdb *fdb, uint64_t key, uint64_t now_ns);

enum fdb_learnt {
	FDB_KNOWN,     /* as it was, heard from again */
	FDB_NEW,       /* or known too long ago */
	FDB_MOVED,     /* it was behind another port */
	FDB_REFUSED,   /* the table or the port has no room: nothing was changed */
	FDB_IS_LOCKED, /* it belongs to another port for good */
};
/* *out: where it is, unless refused or locked. */
enum fdb_learnt fdb_learn(struct fdb *fdb, uint64_t key, struct fdb_port *port, uint64_t now_ns,
			  struct fdb_entry **out);

/* Takes the address for the port, out of whatever was learnt. False: another has it, or no room. */
bool fdb_lock(struct fdb *fdb, uint64_t key, struct fdb_port *port);
/* Takes out all of a port, locked ones too. */
void fdb_flush_port(struct fdb *fdb, struct fdb_port *port);
/* Looks at the next cnt places for what is too old. */
void fdb_sweep(struct fdb *fdb, unsigned cnt, uint64_t now_ns);

#endif
