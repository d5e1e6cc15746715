/* SPDX-License-Identifier: Apache-2.0 */
/* Inside query: the pass over the sample blocks, and the tree that is made of what it finds. */
#ifndef KYMO_QUERY_AGGREGATE_H
#define KYMO_QUERY_AGGREGATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/hmap.h"
#include "query/ends.h"
#include "query/item.h"
#include "query/query.h"
#include "query/segment.h"

/* (parent, item) -> node; 0 = free. The key stands here, too: a node of its own would be a cache miss. */
struct node_slot {
	uint32_t parent, item, node;
};

/* What one comm did on one stack. */
struct cell {
	uint32_t comm;	/* item; 0 = merge_processes */
	uint32_t stack; /* index + 1 within the segment; 0 = none */
	uint32_t leaf;	/* item of its last frame */
	uint32_t next;	/* of the same stack: cell + 1; 0 = none */
	struct query_value value;
};

/* A thread's process and whether the selection wants it; looked up once, not per row. */
struct thread_view {
	uint32_t process; /* index into processes: a pid's programs are one there */
	const struct process *info;
	uint32_t comm; /* item; 0 = merge_processes */
	bool selected;
};

struct aggregate {
	struct profile *profile;
	const struct query_selection *selection;
	enum value_id value;
	enum kymo_source source;
	uint64_t page_bytes;
	struct item_table items;
	struct query_value total;
	struct query_value written;
	uint64_t shrunk;
	uint64_t ends[KYMO_END_MAX];
	struct ends stops; /* with_stops */
	struct query_process *processes;
	size_t processes_n, processes_cap;
	struct hmap process_keys; /* (pid, start) -> index, over all segments */
	struct query_tick *ticks;
	size_t ticks_n, ticks_cap;
	uint64_t duration_ns;
	uint32_t damaged_ticks, sampled_ticks;

	/* Of the segment at hand. */
	const struct segment *segment;
	struct thread_view *threads; /* by index + 1; [0] = unknown thread */
	uint32_t *frame_items;	     /* by index + 1; 0 = not asked yet */
	uint32_t *inline_items;	     /* by index */
	/* By stack index + 1 -> cell + 1. */
	uint32_t *first_cell;
	/* (comm, stack) -> cell + 1: of stacks that many comms share. */
	struct hmap far_cells;
	struct cell *cells;
	size_t cells_n, cells_cap;
	struct seen *seen; /* per cell, with_seen */
	size_t seen_cap;

	/* Of the tick at hand: self weight per item. */
	struct query_value *hot;
	size_t hot_cap;
	uint32_t *touched;
	size_t touched_n, touched_cap;

	/* The tree. */
	struct node_slot *node_slots; /* open addressing */
	size_t node_slots_n;	      /* a power of two */
	struct query_node *nodes;
	size_t nodes_n, nodes_cap;
	struct seen *node_seen;
	size_t node_seen_cap;
};

void query_value_add(struct query_value *sum, const struct query_value *v);
void seen_add(struct seen *sum, const struct seen *s);

/* The item of a stack's last frame, the innermost where functions are inlined; by stack index + 1. 0 = out of memory. */
uint32_t aggregate_leaf_item(struct aggregate *a, uint32_t stack);
/*
 * The items of that frame one by one: level 0 is the function, the others what is inlined in it. 0 = out of memory.
 */
uint32_t aggregate_frame_levels(const struct aggregate *a, uint32_t stack);
uint32_t aggregate_frame_item(struct aggregate *a, uint32_t stack, uint32_t level);

/* Reads the selected ticks of a loaded segment into cells. 0 or -errno. */
int aggregate_segment(struct aggregate *a, uint32_t segment);
void aggregate_segment_done(struct aggregate *a);

/* Adds the segment's cells to the tree's nodes as self. 0 or -ENOMEM. */
int tree_add_cells(struct aggregate *a);
/* Totals of nodes and items, children in order. 0 or -ENOMEM. */
int tree_finish(struct aggregate *a);

#endif
