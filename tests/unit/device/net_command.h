/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands of the control queue in one line each. Not the ring below them: that is
 * net_control_rig.h.
 */
#ifndef PARIO_TESTS_UNIT_DEVICE_NET_COMMAND_H
#define PARIO_TESTS_UNIT_DEVICE_NET_COMMAND_H

#include "net_control_rig.h"

/* Classes, by the numbers that the specification gives them. */
enum { RX, MAC, VLAN, ANNOUNCE, MQ, OFFLOADS, NOTF_COAL, STATS = 8 };

/* A command whose data is one number: class, number, data; the ack. See net_rig_do(). */
uint8_t net_command_u8(struct net_rig *rig, uint8_t class, uint8_t number, uint8_t value);
uint8_t net_command_u16(struct net_rig *rig, uint8_t class, uint8_t number, uint16_t value);
uint8_t net_command_u64(struct net_rig *rig, uint8_t class, uint8_t number, uint64_t value);
/* A little-endian number at byte `at` of the answer. */
uint64_t net_command_answer_u64(const struct net_rig *rig, uint32_t at);
/* The control queue's counters. */
struct net_stats net_command_stats(struct net_rig *rig);

#endif
