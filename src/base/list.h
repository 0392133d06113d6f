/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubly linked circular list, embedded in its members.
 * Not thread-safe: a list belongs to one thread.
 */
#ifndef PARIO_BASE_LIST_H
#define PARIO_BASE_LIST_H

#include <stdbool.h>

#include "base/compiler.h"

struct list_node {
	struct list_node *prev;
	struct list_node *next;
};

/* A head and an unlinked node look alike: both point at themselves. */
static inline void list_init(struct list_node *node)
{
	node->prev = node;
	node->next = node;
}

static inline bool list_empty(const struct list_node *head)
{
	return head->next == head;
}

static inline void list_push_back(struct list_node *head, struct list_node *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

/* Removing an unlinked node changes nothing. */
static inline void list_remove(struct list_node *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

#define list_entry(node, type, member) container_of(node, type, member)

/* The current entry may be removed from within the loop body. */
#define list_for_each_safe(pos, tmp, head) \
	for (pos = (head)->next, tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)

#endif
