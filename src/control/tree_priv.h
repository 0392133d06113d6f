/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between tree.c and tree_yaml.c. Not for readers of trees (tree.h).
 */
#ifndef PARIO_CONTROL_TREE_PRIV_H
#define PARIO_CONTROL_TREE_PRIV_H

#include "control/tree.h"

/* Remembers the line of a node that is part of the tree. 0 or -ENOMEM. */
int tree_note_line(struct tree *tree, const json_t *node, unsigned line);

#endif
