/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting keys of a running object, or of the daemon and all objects that follow it: all or
 * nothing. Not the checks, which are the configuration's (control/config.h: config_change()).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "app/operate.h"
#include "base/clock.h"
#include "base/log.h"

/* What each object is to become. served->config stays as it is until the workers have taken it. */
struct operation_target {
	struct served *served;
	struct config_object *wanted;
};

/* 0 too for a kind of which nothing can be changed. */
static int change(struct served *served, const struct config_object *from,
		  const struct config_object *to, struct join *join, struct err *err)
{
	return served->ops->change ? served->ops->change(served, from, to, join, err) : 0;
}

static void end(struct operation *op, int status)
{
	for (unsigned i = 0; i < op->target_cnt; i++)
		config_discard(op->targets[i].wanted);
	free(op->targets);
	if (op->daemon_wanted)
		config_discard(&op->daemon_wanted->object);
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

		config_take(target->served->config, target->wanted);
		target->wanted = NULL;
	}
	if (!op->daemon_wanted)
		return;
	if (op->daemon_wanted->rebalance_s != daemon->rebalance_s)
		placer_set_round(op->daemon->placer, op->daemon_wanted->rebalance_s * NS_PER_S);
	log_set_level(op->daemon_wanted->log_level);
	config_take(&daemon->object, &op->daemon_wanted->object);
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

/* Everywhere, for an object that did not get the change takes back nothing. */
static void undo(struct operation *op)
{
	join_open(&op->join, undone);
	for (unsigned i = 0; i < op->target_cnt; i++) {
		struct operation_target *target = &op->targets[i];
		struct err err = ERR_INIT;

		if (change(target->served, target->wanted, target->served->config, &op->join, &err))
			log_error(target->served->tag, "a change that failed is not taken back: %s",
				  err.text);
	}
	join_done(&op->join, 0);
}

static void applied(struct join *join)
{
	struct operation *op = container_of(join, struct operation, join);

	if (join->status && !op->failed) {
		config_errors_add(&op->errors, NULL, NULL, "%s: a worker could not take it: %s",
				  op->name ? op->targets[0].served->tag : "daemon",
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
		int rc = change(target->served, target->served->config, target->wanted, &op->join,
				&err);

		if (rc) {
			operation_complain(op, target->served, &err);
			op->failed = rc == -ENOMEM ? -ENOMEM : -EINVAL;
			/* The others have not seen it. */
			while (op->target_cnt > i)
				config_discard(op->targets[--op->target_cnt].wanted);
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

int operate_begin_set(struct operation *op)
{
	int status;
	struct served *served = operation_object(op, &status);

	op->daemon_wanted = NULL;
	op->target_cnt = 0;
	op->targets = NULL;
	if (!served)
		return status;
	op->targets = calloc(1, sizeof(*op->targets));
	if (!op->targets)
		return no_memory(op);
	op->targets[0].served = served;
	op->targets[0].wanted =
		config_change(op->daemon->config, served->config, op->json, &op->errors);
	if (!op->targets[0].wanted)
		return refuse(op);
	op->target_cnt = 1;
	return apply(op);
}

/* False after a complaint. */
static bool follow(struct operation *op, struct served *served)
{
	struct operation_target *target = &op->targets[op->target_cnt];

	target->served = served;
	target->wanted =
		config_follow(op->daemon->config, served->config, op->daemon_wanted, &op->errors);
	op->target_cnt += target->wanted != NULL;
	return target->wanted;
}

int operate_begin_set_daemon(struct operation *op)
{
	struct daemon *daemon = op->daemon;
	unsigned cnt = 1;

	op->target_cnt = 0;
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++)
		cnt += daemon->lists[kind].cnt;
	op->targets = calloc(cnt, sizeof(*op->targets));
	op->daemon_wanted = config_change_daemon(daemon->config, op->json, &op->errors);
	if (!op->daemon_wanted)
		return refuse(op);
	if (!op->targets)
		return no_memory(op);
	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		for (unsigned i = 0; i < daemon->lists[kind].cnt; i++) {
			struct served *served = daemon->lists[kind].objects[i];

			/* Else its queues are stopping, perhaps for long. */
			if (!served->closing && !follow(op, served))
				return refuse(op);
		}
	}
	return apply(op);
}
