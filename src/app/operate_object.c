/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Adding objects to a running daemon, and removing them. Not what they are made of (served.h).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/daemon_priv.h"
#include "app/limits.h"
#include "app/operate.h"
#include "base/clock.h"
#include "base/log.h"

static void removed(struct served *served);

/* In the order of a start; what the world sees comes last, so that it sees nothing that fails. */
static int open_object(struct served *served, struct err *err)
{
	const struct served_ops *ops = served->ops;
	int rc = limits_raise(served->daemon->config, err);

	if (rc == 0 && ops->prepare)
		rc = ops->prepare(served, err);
	if (rc == 0 && ops->open)
		rc = ops->open(served, err);
	if (rc == 0 && ops->expose)
		rc = ops->expose(served, err);
	return rc;
}

static void forget_last(struct config *config, enum config_kind kind)
{
	config_remove(config, config_at(config, kind, config->lists[kind].cnt - 1));
}

/* Of what the configuration has and the daemon not yet. -ENOMEM: the configuration is as before. */
static int append_objects(struct operation *op)
{
	struct daemon *daemon = op->daemon;

	op->brought = NULL;
	if (op->kind != CONFIG_SWITCH &&
	    daemon->config->lists[CONFIG_SWITCH].cnt > daemon->lists[CONFIG_SWITCH].cnt) {
		op->brought = daemon_append(daemon, CONFIG_SWITCH);
		if (!op->brought) {
			forget_last(daemon->config, CONFIG_SWITCH);
			forget_last(daemon->config, op->kind);
			return -ENOMEM;
		}
	}
	op->added = daemon_append(daemon, op->kind);
	if (op->added)
		return 0;
	forget_last(daemon->config, op->kind);
	if (op->brought)
		daemon_remove(daemon, op->brought);
	return -ENOMEM;
}

/* What is open by then is closed, which may take a while; then the operation ends. */
static int undo_add(struct operation *op, int rc)
{
	struct served *served = op->added;

	op->failed = rc == -ENOMEM ? -ENOMEM : -EINVAL;
	if (served->ops->undo)
		served->ops->undo(served);
	served->remover = op;
	served_close(served, removed);
	return OPERATION_PENDING;
}

int operate_begin_add(struct operation *op)
{
	struct daemon *daemon = op->daemon;
	struct err err = ERR_INIT;
	int rc;

	op->failed = 0;
	if (!config_append(daemon->config, op->kind, op->json, &op->errors))
		return -EINVAL;
	rc = append_objects(op);
	if (rc) {
		config_errors_add(&op->errors, NULL, NULL, "no memory for a %s",
				  config_noun(op->kind));
		return rc;
	}
	if (op->brought)
		rc = open_object(op->brought, &err);
	if (rc == 0)
		rc = open_object(op->added, &err);
	if (rc) {
		operation_complain(op, op->added, &err);
		return undo_add(op, rc);
	}
	if (op->brought)
		log_info(op->brought->tag, "added");
	log_info(op->added->tag, "added");
	return 0;
}

/* Of an add that failed, the switch goes after the object that brought it. */
static bool take_back_switch(struct operation *op)
{
	struct served *lan = op->brought;

	if (!op->failed || !lan || op->daemon->draining)
		return false;
	op->brought = NULL;
	lan->remover = op;
	served_close(lan, removed);
	return true;
}

static void removed(struct served *served)
{
	struct daemon *daemon = served->daemon;
	struct operation *op = served->remover;
	bool failed = op && op->failed;

	evloop_timer_cancel(daemon->loop, &served->remove_deadline);
	served->remover = NULL;
	if (daemon->draining) {
		/* The end frees all objects together. */
		daemon_await_one_less(daemon, served);
	} else {
		if (served->ops->log_totals && !failed)
			served->ops->log_totals(served);
		if (!failed)
			log_info(served->tag, "removed");
		daemon_remove(daemon, served);
	}
	if (op && !take_back_switch(op))
		operation_end(op, op->failed);
}

static void remove_deadline_expired(struct evloop_timer *timer)
{
	struct served *served = container_of(timer, struct served, remove_deadline);
	struct operation *op = served->remover;
	struct err err = ERR_INIT;

	served->remover = NULL;
	err_set(&err, EBUSY, "not drained within %d s: %s; it is gone when they are done",
		DAEMON_DRAIN_S, served->ops->held);
	log_warn(served->tag, "%s", err.text);
	operation_complain(op, served, &err);
	operation_end(op, -EBUSY);
}

/* 0, or -EBUSY after a complaint about an object that is on the switch. */
static int check_unused(struct operation *op, const struct served *lan)
{
	struct err err = ERR_INIT;

	for (unsigned kind = 0; kind < CONFIG_KIND_CNT; kind++) {
		const struct config_list *list = &op->daemon->config->lists[kind];

		for (unsigned i = 0; i < list->cnt; i++) {
			const char *name = config_switch_of(list->objects[i]);

			if (!name || strcmp(name, served_name(lan)) != 0)
				continue;
			err_set(&err, EBUSY, "%s %s is on it: remove that first", config_noun(kind),
				list->objects[i]->name);
			operation_complain(op, lan, &err);
			return -EBUSY;
		}
	}
	return 0;
}

int operate_begin_remove(struct operation *op)
{
	int status;
	struct served *served = operation_object(op, &status);

	op->failed = 0;
	op->brought = NULL;
	if (!served)
		return status;
	if (served_kind(served) == CONFIG_SWITCH) {
		status = check_unused(op, served);
		if (status)
			return status;
	}
	served->remover = op;
	served->remove_deadline.expired = remove_deadline_expired;
	evloop_timer_set(op->daemon->loop, &served->remove_deadline,
			 clock_now_ns() + DAEMON_DRAIN_S * NS_PER_S);
	served_close(served, removed);
	return OPERATION_PENDING;
}
