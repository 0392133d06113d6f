/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One disk over a fake storage that holds requests back, for tests of what happens meanwhile.
 * Not the driver (device_rig.h).
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_HOLD_RIG_H
#define PARIO_TESTS_UNIT_DEVICE_HOLD_RIG_H

#include "device/blk/blk_priv.h"
#include "device_rig.h"
#include "fake/fake_storage.h"

/* Where the tables of counters stand. */
enum { TABLE_QUEUE, TABLE_REQUESTS, TABLE_RING, TABLE_STORAGE };

extern struct rig rig;
extern struct storage *storage;

/* Queue 0 runs afterwards. */
void begin(const struct rig_options *options);
void end(void);

/* Of a request of queue 0. */
uint8_t status_of(uint16_t token);

void wait_held(unsigned cnt);
/* Until so many channels are open. */
void wait_channels(unsigned cnt);
/* cnt reads of a sector on queue 0, from token on, which the storage has and keeps. */
void hold_reads(uint16_t token, unsigned cnt);
/* What is submitted from now on is done at once; what was held stays so. */
void keep_held(void);
void release_held(void);

struct device_queue_stats queue_stats(void);
/* All tables of queue 0 and the storage agree on so many requests, all given back. */
void check_counters(unsigned requests);

#endif
