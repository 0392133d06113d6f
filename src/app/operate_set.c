/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting keys of a running disk, or of the daemon and all disks that follow it: all or nothing.
 * Not the checks, which are the configuration's (control/config.h: config_change_disk()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "app/operate.h"
#include "base/clock.h"
#include "base/log.h"

/* What each disk is to become. disk->config stays as it is until the workers have taken it. */
struct operation_target {
	struct disk *disk;
	struct config_disk *wanted;
};

static void end(struct operation *op, int status)
{
	for (unsigned i = 0; i < op->target_cnt; i++)
		config_discard_disk(op->targets[i].wanted);
	free(op->targets);
	config_discard_daemon(op->daemon_wanted);
	op->targets = NULL;
	op->daemon_wanted = NULL;
	operation_end(op, status);
}

/* The workers have it: now the configuration says so. */
static void take(struct operation *op)
{
	struct config_daemon *daemon = &op->daemon->config->daemon;

	for (unsigned i = 0; i < op->target_cnt; i++) {
		struct operation_target *target = &op->targets[i];
		unsigned idx = daemon_disk_idx(op->daemon, target->disk);

		config_take_disk(op->daemon->config->disks[idx], target->wanted);
		target->wanted = NULL;
	}
	if (!op->daemon_wanted)
		return;
	if (op->daemon_wanted->rebalance_s != daemon->rebalance_s)
		placer_set_round(op->daemon->placer, op->daemon_wanted->rebalance_s * NS_PER_S);
	log_set_level(op->daemon_wanted->log_level);
	config_take_daemon(daemon, op->daemon_wanted);
	op->daemon_wanted = NULL;
}

static void undone(struct join *join)
{
	struct operation *op = container_of(join, struct operation, join);

	if (join->status)
		log_error(NULL, "a change that failed could not be taken back whole: %s",
			  strerror(-join->status));
	end(op, op->failed);
}

/* Everywhere, for a disk that did not get the change takes back nothing. */
static void undo(struct operation *op)
{
	join_open(&op->join, undone);
	for (unsigned i = 0; i < op->target_cnt; i++) {
		struct operation_target *target = &op->targets[i];
		struct err err = ERR_INIT;

		if (disk_change(target->disk, target->wanted, target->disk->config, &op->join,
				&err))
			log_error(target->disk->tag, "a change that failed is not taken back: %s",
				  err.text);
	}
	join_done(&op->join, 0);
}

static void applied(struct join *join)
{
	struct operation *op = container_of(join, struct operation, join);

	if (join->status && !op->failed) {
		config_errors_add(&op->errors, NULL, NULL, "%s%s: a worker could not take it: %s",
				  op->name ? "disk " : "", op->name ? op->name : "daemon",
				  strerror(-join->status));
		op->failed = join->status == -ENOMEM ? -ENOMEM : -EBUSY;
	}
	if (op->failed) {
		undo(op);
		return;
	}
	take(op);
	end(op, 0);
}

static int apply(struct operation *op)
{
	op->failed = 0;
	join_open(&op->join, applied);
	for (unsigned i = 0; i < op->target_cnt && !op->failed; i++) {
		struct operation_target *target = &op->targets[i];
		struct err err = ERR_INIT;
		int rc = disk_change(target->disk, target->disk->config, target->wanted, &op->join,
				     &err);

		if (rc) {
			operation_complain(op, target->disk, &err);
			op->failed = rc == -ENOMEM ? -ENOMEM : -EINVAL;
			/* The others have not seen it. */
			while (op->target_cnt > i)
				config_discard_disk(op->targets[--op->target_cnt].wanted);
		}
	}
	join_done(&op->join, 0);
	return OPERATION_PENDING;
}

/* Nothing was applied. */
static int refuse(struct operation *op)
{
	end(op, -EINVAL);
	return OPERATION_PENDING;
}

static int no_memory(struct operation *op)
{
	config_errors_add(&op->errors, NULL, NULL, "no memory for the change");
	end(op, -ENOMEM);
	return OPERATION_PENDING;
}

int operate_begin_set_disk(struct operation *op)
{
	struct config *config = op->daemon->config;
	int status;
	struct disk *disk = operation_disk(op, &status);

	op->daemon_wanted = NULL;
	op->target_cnt = 0;
	op->targets = NULL;
	if (!disk)
		return status;
	op->targets = calloc(1, sizeof(*op->targets));
	if (!op->targets)
		return no_memory(op);
	op->targets[0].disk = disk;
	op->targets[0].wanted = config_change_disk(config, daemon_disk_idx(op->daemon, disk),
						   op->json, &op->errors);
	if (!op->targets[0].wanted)
		return refuse(op);
	op->target_cnt = 1;
	return apply(op);
}

int operate_begin_set_daemon(struct operation *op)
{
	struct daemon *daemon = op->daemon;

	op->target_cnt = 0;
	op->targets = calloc(daemon->disk_cnt + 1, sizeof(*op->targets));
	op->daemon_wanted = config_change_daemon(daemon->config, op->json, &op->errors);
	if (!op->daemon_wanted)
		return refuse(op);
	if (!op->targets)
		return no_memory(op);
	for (unsigned i = 0; i < daemon->disk_cnt; i++) {
		struct operation_target *target = &op->targets[op->target_cnt];

		/* Its queues are stopping, perhaps for long. */
		if (daemon->disks[i]->closing)
			continue;
		target->disk = daemon->disks[i];
		target->wanted =
			config_follow_disk(daemon->config, i, op->daemon_wanted, &op->errors);
		if (!target->wanted)
			return refuse(op);
		op->target_cnt++;
	}
	return apply(op);
}
