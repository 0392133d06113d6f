/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that are held by their sender's worker, in the order of their coming. Owner worker.
 * Not for how long (steer_move.c).
 *
 * A list's frames are nodes of one array of the exchange, so that what is held is bounded; each has
 * a reference of its frame.
 */
#include "network/netport_priv.h"

void steer_moves_init(struct steer_moves *moves)
{
	for (unsigned i = 0; i < STEER_NODES; i++)
		moves->nodes[i].next = (uint16_t)(i + 1 < STEER_NODES ? i + 2 : 0);
	moves->free = 1;
}

bool steer_list_push(struct steer_moves *moves, struct steer_list *list, struct frame *frame,
		     bool bounced, uint64_t now_ns)
{
	const uint16_t node = moves->free;

	if (node == 0 || (!bounced && moves->held_cnt == STEER_HELD_MAX))
		return false;
	moves->free = moves->nodes[node - 1].next;
	moves->nodes[node - 1] =
		(struct steer_node){.frame = frame, .since_ns = now_ns, .bounced = bounced};
	if (list->last)
		moves->nodes[list->last - 1].next = node;
	else
		list->first = node;
	list->last = node;
	moves->held_cnt += !bounced;
	frame->refs++;
	return true;
}

/* With the reference that the list had. */
static struct frame *list_pop(struct steer_moves *moves, struct steer_list *list)
{
	const uint16_t first = list->first;
	struct steer_node *node = &moves->nodes[first - 1];

	list->first = node->next;
	if (!list->first)
		list->last = 0;
	node->next = moves->free;
	moves->free = first;
	moves->held_cnt -= !node->bounced;
	return node->frame;
}

void steer_list_append(struct steer_moves *moves, struct steer_list *list, struct steer_list *tail)
{
	if (!tail->first)
		return;
	if (list->last)
		moves->nodes[list->last - 1].next = tail->first;
	else
		list->first = tail->first;
	list->last = tail->last;
	*tail = (struct steer_list){0};
}

void steer_put_frames(struct frame *const *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		if (--frames[i]->refs == 0)
			exchange_frame_returned(frames[i]);
	}
}

unsigned steer_list_pop_burst(struct steer_moves *moves, struct steer_list *list,
			      struct frame **frames)
{
	unsigned cnt = 0;

	while (cnt < NETPORT_BURST && list->first)
		frames[cnt++] = list_pop(moves, list);
	return cnt;
}

void steer_list_give_queue(struct netport_replica *to, struct exchange *exchange,
			   struct steer_list *list, unsigned queue_idx, bool again, uint64_t now_ns)
{
	struct frame *frames[NETPORT_BURST];
	unsigned cnt;

	while ((cnt = steer_list_pop_burst(&exchange->moves, list, frames)) > 0) {
		netport_give_queue(to, exchange, queue_idx, frames, cnt, again, now_ns);
		steer_put_frames(frames, cnt);
	}
}

void steer_list_drop(struct netport_replica *to, struct exchange *exchange, struct steer_list *list,
		     uint64_t since_ns, uint64_t *counter, enum netport_drop why, uint64_t now_ns)
{
	struct steer_moves *moves = &exchange->moves;
	struct frame *frame;

	while (list->first && moves->nodes[list->first - 1].since_ns <= since_ns) {
		frame = list_pop(moves, list);
		netport_drop_out(to, counter, why, &frame, 1, now_ns);
		steer_put_frames(&frame, 1);
	}
}

void steer_hold(struct exchange *exchange, struct steer_move *move, struct frame *frame,
		uint64_t now_ns)
{
	struct netport_replica *to = move->to;

	if (steer_list_push(&exchange->moves, &move->held, frame, false, now_ns))
		stat_inc(&to->stats.held);
	else
		netport_drop_out(to, &to->stats.drop_held, NETPORT_DROP_HELD, &frame, 1, now_ns);
}
