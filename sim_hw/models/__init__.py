"""What is served: the shape of a model, those that are built in, and how configurations are read.

Reading order: `attention`, `shape`, `published`. Configurations of others: `architectures` (what is known by name),
`config_fields` (what may be passed over, what is of another kind), `shape_reading` (all else, by shape), `huggingface`
and `mindformers`.
"""
