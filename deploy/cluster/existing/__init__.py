"""A Ray cluster that is there already, and is shared: our actors on its nodes, and nothing of ours when they have gone.

Reading order: `spec` (what a user says of it), `bundles` (what an instance takes of its nodes), `clock_offsets` (how
far its clocks are apart), `program` (is the same program there?), `refusals` (why it cannot be joined), `attachment`
(all of it in order, with Ray), `head_watch` (is it still there?).
"""
