/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sum of descriptors over disks, queues and workers. Not an accounting of what is open.
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
#define FDS_DISK 16
/* The API's socket and what libmicrohttpd waits with; each of its clients. */
#define FDS_API 8
#define FDS_API_CLIENTS HTTP_CONNECTIONS_MAX
/* Kick, call, error. */
#define FDS_QUEUE 3

static uint64_t fds_without_queues(const struct config *config)
{
	return FDS_FIXED + (config->daemon.api_path ? FDS_API : 0) +
	       FDS_WORKER * (uint64_t)CPU_COUNT(&config->daemon.workers) +
	       FDS_DISK * (uint64_t)config->disk_cnt;
}

static uint64_t fds_full(const struct config *config)
{
	uint64_t fds = fds_without_queues(config);

	if (config->daemon.api_path)
		fds += FDS_API_CLIENTS;
	for (unsigned i = 0; i < config->disk_cnt; i++)
		fds += FDS_QUEUE * (uint64_t)config->disks[i]->queues;
	return fds;
}

static uint64_t fds_least(const struct config *config)
{
	return fds_without_queues(config) + FDS_QUEUE * (uint64_t)config->disk_cnt;
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
			       "RLIMIT_NOFILE: %u disks need at least %" PRIu64
			       " descriptors, the limit is %" PRIu64
			       " (raise it with `ulimit -n` or LimitNOFILE=)",
			       config->disk_cnt, least, got);
	if (got < full)
		log_warn(NULL,
			 "RLIMIT_NOFILE: if all queues of %u disks are used they take %" PRIu64
			 " descriptors, the limit is %" PRIu64
			 ": front ends with many queues may be refused (raise it with `ulimit -n` "
			 "or LimitNOFILE=, or lower `queues`)",
			 config->disk_cnt, full, got);
	return 0;
}
