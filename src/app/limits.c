/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of descriptors over disks, ports, uplinks, queues and workers. Not an accounting of what
 * is open.
 */
#include "app/limits.h"

#include <errno.h>
#include <inttypes.h>

#include "base/fdio.h"
#include "base/log.h"
#include "control/http.h"

/* Standard streams, the loop, signals, and what libraries open for a moment. */
#define FDS_FIXED 32
/* The ring and the inbox's eventfd. */
#define FDS_WORKER 4
/* Image, listener, connection, back-end channel, a second front end, memory being mapped. */
#define FDS_FRONT 16
/* The API's socket and what libmicrohttpd waits with; each of its clients. */
#define FDS_API 8
#define FDS_API_CLIENTS HTTP_CONNECTIONS_MAX
/* Kick, call, error. */
#define FDS_RING 3
/* Rings of a port that has but one pair: receive, transmit, control. */
#define RINGS_PORT_LEAST 3

static unsigned front_cnt(const struct config *config)
{
	return config->lists[CONFIG_DISK].cnt + config->lists[CONFIG_PORT].cnt;
}

static uint64_t fds_without_queues(const struct config *config)
{
	return FDS_FIXED + (config->daemon.api_path ? FDS_API : 0) +
	       FDS_WORKER * (uint64_t)CPU_COUNT(&config->daemon.workers) +
	       FDS_FRONT * (uint64_t)front_cnt(config);
}

/* A tap has a descriptor for each queue, and takes them all at once. */
static uint64_t fds_uplinks(const struct config *config)
{
	uint64_t fds = 0;

	for (unsigned i = 0; i < config->lists[CONFIG_UPLINK].cnt; i++)
		fds += config_uplink_at(config, i)->queues;
	return fds;
}

static uint64_t fds_full(const struct config *config)
{
	uint64_t fds = fds_without_queues(config) + fds_uplinks(config);

	if (config->daemon.api_path)
		fds += FDS_API_CLIENTS;
	for (unsigned i = 0; i < config->lists[CONFIG_DISK].cnt; i++)
		fds += FDS_RING * (uint64_t)config_disk_at(config, i)->queues;
	for (unsigned i = 0; i < config->lists[CONFIG_PORT].cnt; i++)
		fds += FDS_RING * (2 * (uint64_t)config_port_at(config, i)->queue_pairs + 1);
	return fds;
}

static uint64_t fds_least(const struct config *config)
{
	return fds_without_queues(config) + fds_uplinks(config) +
	       FDS_RING * ((uint64_t)config->lists[CONFIG_DISK].cnt +
			   RINGS_PORT_LEAST * (uint64_t)config->lists[CONFIG_PORT].cnt);
}

int limits_raise(const struct config *config, struct err *err)
{
	uint64_t full = fds_full(config);
	uint64_t least = fds_least(config);
	uint64_t got;
	int rc = fdio_raise_limit(full, &got, err);

	if (rc)
		return rc;
	if (got < least)
		return err_set(err, EMFILE,
			       "RLIMIT_NOFILE: %u disks and ports need at least %" PRIu64
			       " descriptors, the limit is %" PRIu64
			       " (raise it with `ulimit -n` or LimitNOFILE=)",
			       front_cnt(config), least, got);
	if (got < full)
		log_warn(NULL,
			 "RLIMIT_NOFILE: if all queues of %u disks and ports are used they take "
			 "%" PRIu64 " descriptors, the limit is %" PRIu64
			 ": front ends with many queues may be refused (raise it with `ulimit -n` "
			 "or LimitNOFILE=, or lower `queues` and `queue-pairs`)",
			 front_cnt(config), full, got);
	return 0;
}
